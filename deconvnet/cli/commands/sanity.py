"""``deconvnet sanity``: how much maps owe to the weights of the model."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.sanity import sanity
from deconvnet.units import Unit

from . import finished, load_net, trained_classes


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw weights anew, compare, draw and save."""
    target: Any = int(options.target) if options.target.isdecimal() else options.target
    if isinstance(target, str) and ":" in target:
        target = Unit.parse(target)
    loaded, net = load_net(options, options.rectifiers[0])
    result = sanity(
        net,
        options.images,
        rectifiers=options.rectifiers,
        target=target,
        order=options.order,
        stages=options.stages,
        init=options.init,
        init_std=options.init_std,
        random_state=options.random_state,
        noisy=options.noisy,
        shown=options.shown,
        preprocessing=loaded.preprocessing,
        classes=() if isinstance(target, Unit) else trained_classes(loaded),
    )
    return {**finished(result, options, loaded), "scores": result.scores()}
