"""``deconvnet class-model``: the image that a model scores highest for a class."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.class_model import class_model

from . import finished, load_net, mined, trained_classes


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Maximise, draw and save."""
    loaded, net = load_net(options, "gradient")
    result = class_model(
        net,
        options.target,
        penalty=options.penalty,
        steps=options.steps,
        rate=options.rate,
        images=options.images or None,
        preprocessing=loaded.preprocessing,
        classes=trained_classes(loaded),
        **mined(options, loaded),
    )
    return finished(result, options, loaded)
