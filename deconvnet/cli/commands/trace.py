"""``deconvnet trace``: the signal of one unit on its way down."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.figures import suffix_of
from deconvnet.net import DeconvNet
from deconvnet.studies.trace import trace
from deconvnet.units import Unit

from . import load_model, said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Project, draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    unit = Unit.parse(options.unit)
    loaded = load_model(options)
    net = DeconvNet(loaded.model, options.rectifier, fallback=options.fallback)
    prepared = loaded.preprocessing
    result = trace(net, options.image, unit, nodes=options.nodes, preprocessing=prepared)
    made = {"model": loaded.spec, "weights": loaded.weights}
    result.save(options.output, width=options.width, provenance=made)
    for row in result.table():
        share = f"{row['reached']:.1%} of its cells, {row['negative']:.0%} of them negative"
        said(f"{row['node']}: norm {row['norm']:.4g}, {share}", options)
    said(options.output, options)
    return {"figure": options.output, "unit": str(result.unit), "nodes": result.table()}
