"""``deconvnet mine --dry-run``: what a run would take; nothing is written."""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Any

from deconvnet.mining.estimate import Estimate, estimate
from deconvnet.zoo.load import LoadedModel

from . import said

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def tell(
    options: argparse.Namespace, loaded: LoadedModel, data: Any, layers: Sequence[str] | None
) -> dict[str, Any]:
    """Estimate, and say it in words."""
    pictures = bool(options.store_patches or options.store_projections)
    found = estimate(
        loaded.model,
        data,
        layers,
        options.k,
        options.batch_size,
        nan=options.nan,
        workers=options.workers,
        threads=options.threads,
        preprocessing=loaded.preprocessing if pictures else None,
        projections=options.store_projections,
        elsewhere=options.elsewhere,
    )
    for line in lines(found, options.output):
        said(line, options)
    return {"dry_run": True, **asdict(found)}


def lines(found: Estimate, output: str) -> Iterable[str]:
    """An estimate for a person."""
    batches, batch = found.microbatches
    channels = sum(found.channels.values())
    yield f"images    {found.images:,} in {batches:,} microbatches of {batch}"
    yield f"channels  {channels:,} in {len(found.channels)} layers"
    mining, pictures = found.seconds["mining"], found.seconds["pictures"]
    each = f"{mining / batches:.2f} s a microbatch"
    yield f"time      about {duration(mining)} in one process ({each})"
    if pictures:
        yield f"          then {duration(pictures)} for patches and projections"
    held = {name: n for name, n in found.memory.items() if n}
    later = held.pop("pictures", 0)
    parts = ", ".join(f"{size(n)} of {name}" for name, n in held.items())
    yield f"memory    about {size(sum(held.values()))}: {parts}; and PyTorch itself"
    if later:
        then = sum(held.values()) - held["activations"] + later
        yield f"          then about {size(then)}, while pictures are made"
    disk = {name: n for name, n in found.disk.items() if n and name != "part"}
    kinds = f", {size(found.disk['patches'])} of it patches" if "patches" in disk else ""
    kinds += f", {size(found.disk['projections'])} projections" if "projections" in disk else ""
    yield f"disk      about {size(sum(disk.values()))} for {output}{kinds}"
    yield f"          while it runs {size(found.disk['part'])} more for each process"
    there = f"; {output} is there already" if os.path.exists(output) else ""
    yield f"nothing was written{there}"


def size(count: float) -> str:
    """A number of bytes in words."""
    for unit in _UNITS[:-1]:
        if count < 1000:
            return f"{count:.3g} {unit}" if unit != "bytes" else f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.3g} {_UNITS[-1]}"


def duration(seconds: float) -> str:
    """A time in words."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.2g} s"
