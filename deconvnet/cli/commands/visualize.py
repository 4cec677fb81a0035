"""``deconvnet visualize``: what channels of a layer respond to in images."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.net import DeconvNet
from deconvnet.studies.visualize import visualize

from . import check_figure, drawn, load_images


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Project, draw and save."""
    check_figure(options)
    loaded, names, images = load_images(options)
    size = (3, *loaded.preprocessing.size)
    net = DeconvNet(loaded.model, options.rectifier, fallback=options.fallback, input_size=size)
    result = visualize(
        net,
        images,
        layer=options.layer,
        channel=options.channel,
        position=options.position,
        seed=options.seed,
        preprocessing=loaded.preprocessing,
        names=names,
    )
    return drawn(
        result,
        options,
        loaded,
        {
            "layer": result.layer,
            "channels": ",".join(map(str, options.channel)),
            "rectifier": result.rectifier,
            "seed": options.seed,
            "images": ", ".join(names),
        },
    )
