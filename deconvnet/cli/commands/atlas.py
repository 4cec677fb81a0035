"""``deconvnet atlas``: every unit of a store as pages for a browser."""

from __future__ import annotations

import argparse
from dataclasses import asdict
from typing import Any

from deconvnet.arguments import counted
from deconvnet.cli.mined import mined
from deconvnet.pages.atlas import atlas, planned
from deconvnet.pages.estimate import estimate
from deconvnet.pages.folder import check_target
from deconvnet.store.store import open_store

from . import check, said
from .mine import duration, size


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the pages, or estimate what they take."""
    check(options)
    check_target(options.output)
    store = open_store(options.store)
    how: dict[str, Any] = {
        "layers": options.layers,
        "k": options.k,
        "per_source": options.per_source,
        "feeds": dict(options.feeds or ()),
        "rectifiers": options.rectifiers,
        "preprocessing": None,
        "net": None,
        "data": options.data,
    }
    if options.model or options.weights or options.mean or options.std:
        source = mined(store, options)
        how |= {"net": source.net, "data": source.data}
        how["preprocessing"] = source.loaded.preprocessing if source.loaded.stated else None
    if options.dry_run:
        plan = planned(store, **how)
        told = estimate(plan)
        pages = f"{counted(told.files, 'file')}, about {size(told.bytes)}"
        said(
            f"{counted(plan.units, 'unit')} of {counted(len(plan.leaves), 'layer')}: {pages}",
            options,
        )
        said(f"time about {duration(told.seconds)}; nothing was written", options)
        return {"dry_run": True, **asdict(told)}
    made = atlas(store, options.output, **how)
    page = made.path / "index.html"
    held = counted(made.units, "unit"), counted(made.photographs, "photograph"), size(made.bytes)
    said(f"{page}: {', '.join(held)}", options)
    for note in made.notes:
        said(f"it has {note}", options)
    said("open it in a browser, or put the folder on any web server", options)
    return {"page": str(page), **{**asdict(made), "path": str(made.path)}}
