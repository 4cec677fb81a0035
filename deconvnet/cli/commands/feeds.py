"""``deconvnet feeds``: the channels of a layer below that add most to a unit."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.arguments import numeral, percent
from deconvnet.cli.mined import mined
from deconvnet.store.store import open_store
from deconvnet.studies.feeds import Feeds, feeds
from deconvnet.units import Unit

from . import check, load_net, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compute, draw and save."""
    check(options)
    unit = Unit.parse(options.unit)
    stores = [file for file in options.images if Path(file).suffix in (".h5", ".hdf5")]
    if stores and len(options.images) > 1:
        raise ValueError(
            f"{stores[0]} was given among {len(options.images)} files; give a store alone"
        )
    result, how = (_in_store if stores else _in_images)(options, unit)
    saved(result, options, how)
    for row in result.table():
        adds, share = numeral(row["adds"], sign=True), percent(row["share"], sign=True)
        said(f"{row['channel']}: {adds}, {share}", options)
    said(options.output, options)
    return {"figure": options.output, "unit": str(result.unit), "channels": result.table()}


def _in_store(options: argparse.Namespace, unit: Unit) -> tuple[Feeds, dict[str, object]]:
    store = open_store(options.images[0])
    source = mined(store, options)
    result = feeds(
        source.net,
        store,
        unit,
        at=options.at,
        channels=options.channels,
        data=source.data,
        preprocessing=source.loaded.preprocessing,
    )
    return result, source.told(store)


def _in_images(options: argparse.Namespace, unit: Unit) -> tuple[Feeds, dict[str, object]]:
    loaded, net = load_net(options)
    result = feeds(net, options.images, unit, at=options.at, channels=options.channels)
    return result, {"model": loaded.spec, "weights": loaded.weights}
