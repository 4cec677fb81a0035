"""``deconvnet mine``: find each channel's top-k images and write them to a store."""

from __future__ import annotations

import argparse
import math
import os
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from itertools import takewhile
from typing import Any

import numpy as np
from torch import nn

from deconvnet.arguments import counted, expanded
from deconvnet.cli.long_runs import device_of, interruptible, shard_of
from deconvnet.cli.text import first
from deconvnet.data.resolve import anchored, check_spec, dataset
from deconvnet.data.samples import first_image
from deconvnet.mining.estimate import Estimate, estimate
from deconvnet.mining.mine import Source, minable, mine
from deconvnet.mining.run.bad_images import Limit
from deconvnet.mining.run.job import Settings
from deconvnet.store.store import Failed
from deconvnet.zoo.load import LoadedModel

from . import check, load_model, policies, said, warn_of_usual
from .embed import check_policies, illustrate, prepared_of

_UNITS = ("bytes", "kB", "MB", "GB", "TB")
TOLD = 10  # images left out that are named at the end; the store names all


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, and print where the store is and which command draws it."""
    check(options)
    device, shard = device_of(options.device), shard_of(options)
    Limit(options.max_bad, options.strict)
    settings = Settings(
        options.k,
        options.batch_size,
        lowest=options.lowest,
        sample=options.sample,
        rank=options.rank,
        random_state=options.random_state,
        nan=options.nan,
        threads=options.threads,
        workers=options.workers,
        directions=_directions(options.directions),
    )
    check_spec(options.data)
    loaded = load_model(options)
    loaded.model.to(device)
    data = dataset(options.data, loaded.preprocessing, identity=options.fingerprint)
    if getattr(data, "preprocessing", None) is loaded.preprocessing:
        warn_of_usual(loaded)
    source = Source(
        model=anchored(loaded.spec),
        weights=anchored(loaded.weights),
        dataset=anchored(options.data),
        transform=loaded.preprocessing.to_json() if _stated(options) else "",
    )
    layers = options.layers or _trained(loaded, data)
    check_policies(loaded, layers, data, options)
    if options.dry_run:
        return _estimated(options, settings, loaded, data, layers=layers)
    if shard.count > 1:
        said(f"shard {shard} (by {shard.origin})", options)
    with interruptible(options) as stopping:
        store = mine(
            loaded.model,
            data,
            options.output,
            layers,
            options.k,
            options.batch_size,
            lowest=options.lowest,
            sample=options.sample,
            rank=options.rank,
            random_state=options.random_state,
            directions=settings.directions,
            source=source,
            workers=options.workers,
            strict=options.strict,
            max_bad=options.max_bad,
            nan=options.nan,
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
    units = counted(sum(table.channels for table in store.layers.values()), "unit")
    seen: Any = store.attributes["images_seen"]
    said(f"{options.output}: top {options.k} of {units} over {counted(seen, 'image')}", options)
    for line in left_out(store.failed, seen):
        said(line, options)
    maps = [name for name, table in store.layers.items() if max(table.size, default=1) > 1]
    layer = (maps or list(store.layers))[-1]
    command = ["deconvnet", "exemplars", options.output, "--layer", layer]
    said(f"next: {shlex.join(command)}", options)
    return {"store": options.output, "layers": list(store.layers), **store.attributes}


def _stated(options: argparse.Namespace) -> bool:
    """Whether the options say how images were normalised, those of a factory too."""
    return options.mean is not None or options.std is not None


def _trained(loaded: LoadedModel, data: Any) -> list[str] | None:
    """The layers below the first untrained one; None if the whole model is trained."""
    if not loaded.untrained:
        return None
    names = minable(loaded.model, first_image(data).shape)
    return list(takewhile(loaded.trained, names))


def left_out(failed: Sequence[Failed], seen: int) -> Iterator[str]:
    """Lines of text on the images that could not be used, and why."""
    if failed:
        every = counted(len(failed) + seen, "image")
        yield f"left out: {len(failed)} of {every}, which cannot be used"
    yield from first(
        [each.said for each in failed], TOLD, others="the store has them all in /failed"
    )


def _directions(files: Sequence[tuple[str, str]] | None) -> dict[str | nn.Module, Any] | None:
    """{layer: array} of the files that hold directions; None for no file."""
    arrays: dict[str | nn.Module, Any] = {}
    for layer, path in files or ():
        if layer in arrays:
            raise ValueError(f"--directions {layer}= was given twice; give them in one file")
        try:
            arrays[layer] = np.load(expanded(path), allow_pickle=False)
        except FileNotFoundError as error:
            raise FileNotFoundError(f"--directions {layer}=: there is no file {path!r}") from error
        except (ValueError, EOFError) as error:
            raise ValueError(
                f"{path!r} holds no array of numbers ({error}); write it with numpy.save"
            ) from error
    return arrays or None


def _estimated(
    options: argparse.Namespace,
    settings: Settings,
    loaded: LoadedModel,
    data: Any,
    *,
    layers: Sequence[str] | None,
) -> dict[str, Any]:
    """Estimate a run and print the estimate."""
    pictures = bool(options.store_patches or options.store_projections)
    estimated = estimate(
        loaded.model,
        data,
        layers,
        settings=settings,
        preprocessing=prepared_of(loaded, data, options) if pictures else None,
        rectifiers=[policies(rule, options) for rule in options.store_projections],
    )
    for line in _estimate_lines(estimated, options.output):
        said(line, options)
    return {"dry_run": True, **asdict(estimated)}


def _estimate_lines(estimated: Estimate, output: str) -> Iterator[str]:
    """The estimate as lines of text."""
    batches, batch = estimated.microbatches
    channels = sum(estimated.channels.values())
    times = counted(batches, "microbatch", "microbatches")
    yield f"images    {estimated.images:,} in {times} of {batch}"
    yield f"channels  {channels:,} in {counted(len(estimated.channels), 'layer')}"
    mining, pictures = estimated.seconds["mining"], estimated.seconds["pictures"]
    each = f"{mining / batches:.2f} s a microbatch"
    yield f"time      about {duration(mining)} in one process ({each})"
    if pictures:
        yield f"          then {duration(pictures)} for patches and projections"
    held = {name: n for name, n in estimated.memory.items() if n}
    later = held.pop("pictures", 0)
    parts = ", ".join(f"{size(n)} of {name}" for name, n in held.items())
    yield f"memory    about {size(sum(held.values()))}: {parts}; and PyTorch itself"
    if later:
        then = sum(held.values()) - held["activations"] + later
        yield f"          then about {size(then)}, while pictures are made"
    disk = {name: n for name, n in estimated.disk.items() if n and name != "part"}
    kinds = f", {size(estimated.disk['patches'])} of it patches" if "patches" in disk else ""
    kinds += f", {size(estimated.disk['projections'])} projections" if "projections" in disk else ""
    yield f"disk      about {size(sum(disk.values()))} for {output}{kinds}"
    yield f"          while it runs {size(estimated.disk['part'])} more for each process"
    there = f"; {output} is there already" if os.path.exists(output) else ""
    yield f"nothing was written{there}"


def size(count: float) -> str:
    """A number of bytes with its unit: "8.4 GB"."""
    count = float(f"{count:.3g}")
    power = min(int(math.log10(max(count, 1)) // 3), len(_UNITS) - 1)
    return f"{count / 1000**power:.3g} {_UNITS[power]}"


def duration(seconds: float) -> str:
    """A time with its units: "1 min 30 s"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {rest} s" if minutes else f"{seconds:.2g} s"
