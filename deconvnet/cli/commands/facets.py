"""``deconvnet facets``: a unit's exemplars in groups that the same channels below feed."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.cli.mined import mined
from deconvnet.store.store import open_store
from deconvnet.studies.facets import facets
from deconvnet.units import Unit

from . import check, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Group, draw and save."""
    check(options)
    store, unit = open_store(options.store), Unit.parse(options.unit)
    source = mined(store, options)
    result = facets(
        store,
        unit,
        at=options.at,
        clusters=options.clusters,
        net=source.net,
        data=source.data,
        preprocessing=source.loaded.preprocessing,
        random_state=options.random_state,
    )
    saved(result, options, source.told(store))
    for row in result.table():
        said(f"facet {row['facet']}: {row['unit']} in {row['image']}", options)
    said(options.output, options)
    return {"figure": options.output, "exemplars": result.table()}
