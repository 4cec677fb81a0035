"""``deconvnet relu-table``: what each rule does at a ReLU, with numbers."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any

from deconvnet.cli.text import columns
from deconvnet.studies.relu_table import ReluTable, relu_table

from . import check, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compute, draw and save."""
    check(options)
    result = relu_table(options.rectifiers)
    saved(result, options, {})
    for line in columns(list(_rows(result))):
        said(line.rstrip(), options)
    said(options.output, options)
    return {"figure": options.output, "passes": result.table()}


def _rows(result: ReluTable) -> Iterator[list[str]]:
    """The numbers above and below the ReLU, a column for each way through it."""
    ways = {"forward": (result.a, result.z), **{n: (result.R, s) for n, s in result.sent.items()}}
    yield ["", *ways]
    for place, name in enumerate(("output", "input")):
        if place:
            yield ["", *("    ↑" if way == "forward" else "    ↓" for way in ways)]
        for line in range(len(result.z)):
            cells = (
                " ".join(f"{number:3g}" for number in way[place][line]) for way in ways.values()
            )
            yield ["" if line else name, *cells]
