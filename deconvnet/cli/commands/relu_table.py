"""``deconvnet relu-table``: what each rule does at a ReLU, with numbers."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.figures import suffix_of
from deconvnet.studies.relu_table import relu_table

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compute, draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    result = relu_table(options.rectifiers)
    result.save(options.output, width=options.width)
    for row in result.table():
        said(f"{row['pass']}: output {row['output']}, input {row['input']}", options)
    said(options.output, options)
    return {"figure": options.output, "passes": result.table()}
