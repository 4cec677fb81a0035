"""``deconvnet localize``: mask and box of a class in images."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.localize import localize

from . import finished, load_net, trained_classes


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Localise, draw and save; with true boxes, say how well."""
    loaded, net = load_net(options)
    result = localize(
        net,
        options.images,
        target=options.target,
        method=options.method,
        threshold=options.threshold,
        boxes=options.boxes,
        preprocessing=loaded.preprocessing,
        classes=trained_classes(loaded),
    )
    score = {"max_box_acc": result.max_box_acc} if result.truth else {}
    return {**finished(result, options, loaded), **score}
