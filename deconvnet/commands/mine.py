"""``deconvnet mine``: a data set into a store."""

from __future__ import annotations

import argparse
import os
from typing import Any

import torch

from deconvnet.commands import load_model, said
from deconvnet.mining import Source, minable, mine
from deconvnet.models import LoadedModel, dataset
from deconvnet.progress import bar


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, and say where the store is and what to do next."""
    loaded = load_model(options)
    loaded.model.to(_device(options.device))
    data = dataset(options.data, loaded.preprocessing)
    source = Source(
        model=loaded.spec,
        weights=_absolute(loaded.weights),
        dataset=_absolute(options.data),
        transform=loaded.preprocessing.to_json(),
    )
    layers = options.layers or _trained(loaded)
    with bar(len(data), "mining") as report:
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
            nan=options.nan,
            report=report,
        )
    units = sum(table.channels for table in store.layers.values())
    seen = store.attributes["images_seen"]
    said(f"{options.output}: top {options.k} of {units} units over {seen} images", options)
    for failed in store.failed:
        said(f"left out: {failed.reason}", options)
    last = list(store.layers)[-1]
    said(f"next: deconvnet figure {options.output} --layer {last}", options)
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


def _device(name: str) -> torch.device:
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here: {error}") from error


def _absolute(name: str) -> str:
    """A file or folder wherever we stand; any other word as it is."""
    return os.path.abspath(name) if os.path.exists(name) else name
