"""``deconvnet relu-table``: what each rule does at a ReLU, with numbers."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.studies.relu_table import relu_table

from . import check, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compute, draw and save."""
    check(options)
    result = relu_table(options.rectifiers)
    saved(result, options, {})
    for row in result.table():
        said(f"{row['pass']}: output {row['output']}, input {row['input']}", options)
    said(options.output, options)
    return {"figure": options.output, "passes": result.table()}
