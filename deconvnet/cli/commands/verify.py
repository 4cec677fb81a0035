"""``deconvnet verify``: recompute entries of a store, and compare."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from deconvnet.arguments import counted
from deconvnet.cli.long_runs import device_of
from deconvnet.cli.text import first
from deconvnet.data.resolve import mined_dataset
from deconvnet.mining.source import the_model
from deconvnet.mining.verify.verify import Verification, verify
from deconvnet.store.store import Store, open_store

from . import said

EXAMPLES = 10  # of each kind of mismatch


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Recompute, compare, and print the differences; ``passed`` decides the exit status."""
    store = open_store(options.store)
    loaded = the_model(store, options.model, options.weights)
    loaded.model.to(device_of(options.device))
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    result = verify(
        store,
        loaded.model,
        data,
        n=options.n,
        random_state=options.random_state,
        tolerance=0.0 if options.exact else None,
    )
    for line in lines(store, result):
        said(line, options)
    told = {name: value for name, value in vars(result).items() if name != "mismatches"}
    mismatches = [vars(mismatch) for mismatch in result.mismatches]
    return {"store": options.store, "passed": result.passed, **told, "mismatches": mismatches}


def lines(store: Store, result: Verification) -> Iterable[str]:
    """The result as text: a line for each kind of mismatch, and a few examples of it."""
    tables = [each for table in store.values() for each in table.every.values()]
    entries = sum(int((each.images >= 0).sum()) for each in tables)
    every, images = counted(entries, "entry", "entries"), counted(result.images, "image")
    yield (
        f"{result.checked} of {every} (random state {result.random_state}) recomputed over "
        f"{images}; activations that are equal bit for bit: {result.equal}; all are compared "
        f"within {result.tolerance:g} of each layer's greatest"
    )
    if result.pictures:
        yield f"{result.pictures} stored patches and projections compared with new ones"
    for kind in dict.fromkeys(mismatch.kind for mismatch in result.mismatches):
        examples = [mismatch.what for mismatch in result.mismatches if mismatch.kind == kind]
        yield f"{kind}: {len(examples)} {'differs' if len(examples) == 1 else 'differ'}"
        yield from first(examples, EXAMPLES, others="--json lists them all")
    yield from (f"not compared: {what}" for what in result.unchecked)
    passed, is_ = ("passed", "is") if result.passed else ("failed", "is not")
    yield f"{passed}: {store.path} {is_} what this model and this data set give"
