"""``deconvnet why``: why a model takes one class for another."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.why import why

from . import finished, load_net, mined, trained_classes


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare both classes, draw and save."""
    loaded, net = load_net(options)
    result = why(
        net,
        options.image,
        true=options.true,
        predicted=options.predicted,
        layer=options.layer,
        value=options.value,
        preprocessing=loaded.preprocessing,
        classes=trained_classes(loaded),
        **mined(options, loaded),
    )
    return finished(result, options, loaded)
