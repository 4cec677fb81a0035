"""``deconvnet similarity``: which channels of a layer respond alike."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.figures import suffix_of
from deconvnet.store.store import open_store
from deconvnet.studies.similarity import similarity

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Correlate, draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    store = open_store(options.store)
    result = similarity(store, options.layer, pairs=options.pairs)
    how = {name: store.attributes.get(name, "") for name in ("model", "weights", "dataset")}
    result.save(options.output, width=options.width, provenance=how)
    for row in result.table():
        said(f"{row['pair']}: {row['correlation']:+.3f}", options)
    said(options.output, options)
    return {"figure": options.output, "n": result.n, "pairs": result.table()}
