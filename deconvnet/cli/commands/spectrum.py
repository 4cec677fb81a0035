"""``deconvnet spectrum``: channels from their lowest images to their strongest."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.arguments import numeral
from deconvnet.cli.mined import mined
from deconvnet.store.store import open_store
from deconvnet.studies.spectrum import spectrum

from . import check, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Recompute, draw and save."""
    check(options)
    store = open_store(options.store)
    source = mined(store, options)
    result = spectrum(
        store,
        options.layer,
        options.channels,
        net=source.net,
        data=source.data,
        preprocessing=source.loaded.preprocessing,
    )
    saved(result, options, source.told(store))
    for row in result.table():
        said(
            f"{row['unit']} {row['at']}: {numeral(row['activation'])}, {row['image']}",
            options,
        )
    said(options.output, options)
    return {"figure": options.output, "n": result.n, "entries": result.table()}
