"""``deconvnet occlusion``: what a model makes of an image of which a square is hidden."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.occlusion import occlusion

from . import class_names, finished, load_net, mined


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Occlude, draw and save."""
    loaded, net = load_net(options)
    result = occlusion(
        net,
        options.image,
        target=options.target,
        layer=options.layer,
        channel=options.channel,
        size=options.square,
        stride=options.stride,
        value=options.value,
        preprocessing=loaded.preprocessing,
        classes=class_names(loaded, target=options.target),
        **mined(options, loaded),
    )
    return finished(result, options, loaded)
