"""``deconvnet effective-field``: how much of its receptive field a unit responds to."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.effective_field import effective_field

from . import finished, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, draw and save."""
    loaded, net = load_net(options, "gradient")
    result = effective_field(
        net,
        options.images,
        layer=options.layer,
        channels=options.channels,
        preprocessing=loaded.preprocessing,
    )
    return finished(result, options, loaded)
