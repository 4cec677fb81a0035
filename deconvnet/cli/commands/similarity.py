"""``deconvnet similarity``: which channels of a layer respond alike."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.arguments import numeral
from deconvnet.store.store import open_store
from deconvnet.studies.similarity import similarity

from . import check, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Correlate, draw and save."""
    check(options)
    store = open_store(options.store)
    result = similarity(store, options.layer, pairs=options.pairs)
    how = {name: store.attributes.get(name, "") for name in ("model", "weights", "dataset")}
    saved(result, options, how)
    for row in result.table():
        said(f"{row['pair']}: {numeral(row['correlation'], sign=True)}", options)
    said(options.output, options)
    return {"figure": options.output, "n": result.n, "pairs": result.table()}
