"""``deconvnet invariance``: how far features move as an image is shifted, scaled and turned."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.invariance import TRANSFORMS, invariance

from . import class_names, finished, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Transform, draw and save."""
    loaded, net = load_net(options, "gradient")
    result = invariance(
        net,
        options.images,
        target=options.target,
        layers=options.layers,
        transforms=options.transforms or tuple(TRANSFORMS),
        preprocessing=loaded.preprocessing,
        classes=class_names(loaded, target=options.target),
    )
    return finished(result, options, loaded)
