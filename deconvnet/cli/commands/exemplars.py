"""``deconvnet figure``: the Zeiler-Fergus grid from a store."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from deconvnet.cli.store_source import check_model, the_model, the_origin
from deconvnet.data.specs import mined_dataset
from deconvnet.figures import save, suffix_of
from deconvnet.mining.embed import spelled
from deconvnet.mining.exemplars import Exemplar, exemplars, stored_exemplars
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import LayerTable
from deconvnet.studies.draw import Named, draw_exemplars, provenance
from deconvnet.zoo.load import LoadedModel

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    store = open_store(options.store)
    channels = choose(store[options.layer], options.channels)
    rectifier = spelled(options.rectifier)
    stored = has_pictures(store, options, rectifier)
    if stored:
        loaded: Named = the_origin(store)
        found = stored_exemplars(store, options.layer, channels, rectifier=rectifier)
    else:
        try:
            loaded, found = _recomputed(store, options, channels)
        except (ValueError, OSError) as error:
            hint = _hint(store, options.layer)
            if not hint:
                raise
            raise ValueError(f"{error}; {hint}") from error
    figure = draw_exemplars(found, options.layer, width=options.width, rectifier=rectifier)
    how = provenance(
        loaded,
        layer=options.layer,
        channels=",".join(map(str, channels)),
        rectifier=rectifier,
        dataset=store.attributes.get("dataset", ""),
        model_fingerprint=store.attributes.get("model_fingerprint", ""),
    )
    save(figure, options.output, provenance=how)
    said(f"{options.output}: {len(channels)} channels of {options.layer}", options)
    if stored:
        said("drawn from the pictures in the store; --recompute asks model and data", options)
    return {
        "figure": options.output,
        "layer": options.layer,
        "channels": channels,
        "pictures": "stored" if stored else "recomputed",
    }


def has_pictures(store: Store, options: argparse.Namespace, rectifier: str) -> bool:
    """Whether a store holds all that the figure shows, and nothing was said against using it."""
    if options.recompute or options.model or options.weights or options.data:
        return False
    pictures = store.pictures.get(options.layer)
    projections = pictures.projections.get(rectifier) if pictures else None
    return projections is not None and projections.elsewhere == (options.elsewhere or "")


def _hint(store: Store, layer: str) -> str:
    """Which figures could be drawn without model and data; empty for none."""
    pictures = store.pictures.get(layer)
    names = " or ".join(sorted(pictures.projections)) if pictures else ""
    said = f"a figure by the pictures in the store needs nothing else: --rectifier {names}"
    return said if names else ""


def _recomputed(
    store: Store, options: argparse.Namespace, channels: list[int]
) -> tuple[LoadedModel, dict[int, list[Exemplar]]]:
    """The exemplars from model and data set."""
    loaded = the_model(store, options.model, options.weights)
    size = (3, *loaded.preprocessing.size)
    net = DeconvNet(loaded.model, options.rectifier, elsewhere=options.elsewhere, input_size=size)
    check_model(store, net)
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    prepared = loaded.preprocessing
    return loaded, exemplars(
        store, options.layer, channels, net=net, dataset=data, preprocessing=prepared
    )


def choose(table: LayerTable, text: str) -> list[int]:
    """Channels by ``0-15``, ``3,7,9``, ``strongest:N`` or ``random:N``.

    ``strongest`` are those whose kept activations are highest on average; channels that never
    became positive are not among them, nor among the random ones.

    Raises:
        ValueError: the text has another form.
        IndexError: a channel does not exist.
    """
    named = re.fullmatch(r"(strongest|random):([1-9]\d*)", text)
    alive = np.flatnonzero(table.nonzero > 0)
    if named and not len(alive):
        last = min(table.channels, 12) - 1
        raise ValueError(
            f"no channel of this layer was ever positive, of which {text!r} could be drawn; name "
            f"channels: 0-{last}"
        )
    if named and named[1] == "random":
        chosen = np.random.default_rng(0).permutation(alive)[: int(named[2])]
        return sorted(chosen.tolist())
    if named:
        height = np.nanmean(table.activation[alive], axis=1)
        return sorted(alive[np.argsort(-height, kind="stable")[: int(named[2])]].tolist())
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(f"channels were {text!r}; write 0-15, 3,7,9, strongest:12 or random:12")
    return list(dict.fromkeys(_listed(table, text)))


def _listed(table: LayerTable, text: str) -> Iterator[int]:
    """Channels by number and by range."""
    for part in text.split(","):
        first, _, last = part.partition("-")
        start, stop = int(first), int(last or first)
        if stop < start:
            raise ValueError(f"channels were {part!r}; write the smaller first: {stop}-{start}")
        if stop >= table.channels:
            raise IndexError(
                f"there is no channel {stop}; the layer's are 0 to {table.channels - 1}"
            )
        yield from range(start, stop + 1)
