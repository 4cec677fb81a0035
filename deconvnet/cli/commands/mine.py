"""``deconvnet mine``: a data set into a store."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Sequence
from typing import Any

from deconvnet.cli.device import device_of
from deconvnet.cli.long_runs import interruptible, progress, shard_of
from deconvnet.data.specs import anchored, dataset
from deconvnet.mining.mine import Source, minable, mine
from deconvnet.store.store import Failed
from deconvnet.zoo.load import LoadedModel

from . import dry_run, load_model, said
from .embed import check_policies, illustrate

TOLD = 10  # images left out that are named at the end; the store names all


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, and say where the store is and what to do next."""
    loaded = load_model(options)
    loaded.model.to(device_of(options.device))
    data = dataset(options.data, loaded.preprocessing, identity=options.fingerprint)
    source = Source(
        model=anchored(loaded.spec),
        weights=anchored(loaded.weights),
        dataset=anchored(options.data),
        transform=loaded.preprocessing.to_json(),
    )
    layers = options.layers or _trained(loaded)
    check_policies(loaded, layers, options)
    if options.dry_run:
        return dry_run.tell(options, loaded, data, layers)
    shard = shard_of(options)
    if shard.count > 1:
        said(f"shard {shard} (by {shard.origin})", options)
    with interruptible(options) as stopping, progress(len(data), "mining") as report:
        store = mine(
            loaded.model,
            data,
            options.output,
            layers,
            options.k,
            options.batch_size,
            source=source,
            workers=options.workers,
            strict=options.strict,
            max_bad=options.max_bad,
            nan=options.nan,
            report=report,
            resume=not options.restart,
            discard_groups=options.discard_groups,
            save_every=options.save_every,
            shard=(shard.index, shard.count),
            threads=options.threads,
            stop=stopping.asked,
            tell=lambda text: said(text, options),
        )
    if options.store_patches or options.store_projections:
        store = illustrate(store, loaded, data, options)
    units = sum(table.channels for table in store.layers.values())
    seen: Any = store.attributes["images_seen"]
    said(f"{options.output}: top {options.k} of {units} units over {seen} images", options)
    for line in left_out(store.failed, seen):
        said(line, options)
    following = ["deconvnet", "figure", options.output, "--layer", list(store.layers)[-1]]
    said(f"next: {shlex.join(following)}", options)
    return {"store": options.output, "layers": list(store.layers), **store.attributes}


def _trained(loaded: LoadedModel) -> list[str] | None:
    """Every layer that rests on trained weights alone; None if that is all of them."""
    if not loaded.untrained:
        return None
    names = minable(loaded.model, (3, *loaded.preprocessing.size))
    found = []
    for name in names:
        if not loaded.trained(name):
            break
        found.append(name)
    return found


def left_out(failed: Sequence[Failed], seen: int) -> Iterator[str]:
    """The images that could not be used, with the reasons; of many, the first few."""
    if failed:
        yield f"left out: {len(failed)} of {len(failed) + seen} images, which cannot be used"
    for each in failed[:TOLD]:
        yield f"  {each.said}"
    if len(failed) > TOLD:
        yield f"  and {len(failed) - TOLD} more; the store has them all in /failed"
