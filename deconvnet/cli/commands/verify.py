"""``deconvnet verify``: whether a store is still what its model and data set give."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import Any

from deconvnet.cli.device import device_of
from deconvnet.cli.progress import bar
from deconvnet.cli.store_source import the_model
from deconvnet.data.specs import mined_dataset
from deconvnet.mining.verify.verify import Verification, verify
from deconvnet.store.store import Store, open_store

from . import said

EXAMPLES = 10  # of each kind of mismatch


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Recompute, compare, and say what differs; ``passed`` decides on the exit status."""
    store = open_store(options.store)
    loaded = the_model(store, options.model, options.weights)
    loaded.model.to(device_of(options.device))
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    with bar(1, "verifying") as report:
        found = verify(
            store,
            loaded.model,
            data,
            n=options.n,
            seed=options.seed,
            tolerance=0.0 if options.exact else None,
            report=report,
        )
    for line in lines(store, found):
        said(line, options)
    return {
        "store": options.store,
        "passed": found.passed,
        "checked": found.checked,
        "equal": found.equal,
        "images": found.images,
        "pictures": found.pictures,
        "tolerance": found.tolerance,
        "seed": found.seed,
        "unchecked": list(found.unchecked),
        "mismatches": [vars(mismatch) for mismatch in found.mismatches],
    }


def lines(store: Store, found: Verification) -> Iterable[str]:
    """What was found, a line for each kind of mismatch and a few examples of it."""
    entries = sum(int((table.image >= 0).sum()) for table in store.values())
    yield (
        f"{found.checked} of {entries} entries (seed {found.seed}) recomputed over {found.images} "
        f"images: {found.equal} activations are equal bit for bit, compared within "
        f"{found.tolerance:g} of each layer's greatest"
    )
    if found.pictures:
        yield f"{found.pictures} stored patches and projections compared with new ones"
    for kind in dict.fromkeys(mismatch.kind for mismatch in found.mismatches):
        examples = [mismatch.what for mismatch in found.mismatches if mismatch.kind == kind]
        yield f"{kind}: {len(examples)} {'differs' if len(examples) == 1 else 'differ'}"
        yield from (f"  {example}" for example in examples[:EXAMPLES])
        if len(examples) > EXAMPLES:
            yield f"  … and {len(examples) - EXAMPLES} more; --json lists them all"
    yield from (f"not compared: {what}" for what in found.unchecked)
    if found.passed:
        yield f"passed: {store.path} is what this model and this data set give"
    else:
        yield f"failed: {store.path} is not what this model and this data set give"
