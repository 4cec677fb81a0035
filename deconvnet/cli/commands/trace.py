"""``deconvnet trace``: the signal of one unit on its way down."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.arguments import numeral, percent
from deconvnet.studies.trace import trace
from deconvnet.units import Unit

from . import load_net, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Project, draw and save."""
    unit = Unit.parse(options.unit)
    loaded, net = load_net(options)
    result = trace(net, options.image, unit, nodes=options.nodes)
    saved(result, options, {"model": loaded.spec, "weights": loaded.weights})
    for row in result.table():
        share = (
            f"nonzero in {percent(row['reached'])} of the map, {percent(row['negative'])} of that "
            "negative"
        )
        said(f"{row['node']}: norm {numeral(row['norm'])}, {share}", options)
    said(options.output, options)
    return {"figure": options.output, "unit": str(result.unit), "nodes": result.table()}
