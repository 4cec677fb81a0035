"""``deconvnet sanity``: how much maps owe to the weights of the model."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from deconvnet.arguments import numeral
from deconvnet.studies.sanity import sanity
from deconvnet.units import Unit

from . import finished, load_net, said, trained_classes


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
    said(result.line(*result.rectifiers), options)
    scores = result.scores()
    made = finished(result, options, loaded, told=[_with_intervals(row) for row in scores])
    return {**made, "scores": scores}


def _with_intervals(row: Mapping[str, Any]) -> dict[str, str]:
    """Each score together with its 95 % confidence interval."""
    return {
        name: f"{numeral(value)} ({numeral(row[f'{name}_low'])} to {numeral(row[f'{name}_high'])})"
        if f"{name}_low" in row
        else str(value)
        for name, value in row.items()
        if not name.endswith(("_low", "_high"))
    }
