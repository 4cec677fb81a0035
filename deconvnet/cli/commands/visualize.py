"""``deconvnet visualize``: what channels of a layer respond to in images."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.visualize import check_units, visualize

from . import drawn, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Project, draw and save."""
    check_units(options.channel, options.position, options.seed)
    loaded, net = load_net(options)
    result = visualize(
        net,
        options.images,
        layer=options.layer,
        channel=options.channel,
        position=options.position,
        seed=options.seed,
        preprocessing=loaded.preprocessing,
        bands=options.bands,
    )
    return drawn(result, options, loaded)
