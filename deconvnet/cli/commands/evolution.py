"""``deconvnet evolution``: how the strongest responses of channels change in a training."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.data.resolve import dataset
from deconvnet.studies.evolution import evolution

from . import finished, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine each checkpoint, project, draw and save."""
    loaded, net = load_net(options)
    result = evolution(
        net,
        options.checkpoints,
        dataset(options.data, loaded.preprocessing),
        layer=options.layer,
        channels=options.channels,
        preprocessing=loaded.preprocessing,
    )
    return finished(result, options, loaded)
