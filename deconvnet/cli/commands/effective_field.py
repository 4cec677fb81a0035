"""``deconvnet effective-field``: how much of its receptive field a unit responds to."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.effective_field import effective_field

from . import finished, study


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Measure, draw and save."""
    loaded, net = study(options)
    result = effective_field(
        net,
        options.images,
        layer=options.layer,
        channels=options.channels,
        preprocessing=loaded.preprocessing,
    )
    return finished(result, options, loaded)
