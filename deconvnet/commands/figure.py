"""``deconvnet figure``: the Zeiler-Fergus grid from a store."""

from __future__ import annotations

import argparse
import re
from pathlib import Path
from typing import Any

import numpy as np

from deconvnet import fingerprint
from deconvnet.commands import said
from deconvnet.draw import draw_exemplars, provenance
from deconvnet.figures import save, suffix_of
from deconvnet.images import Preprocessing
from deconvnet.mirror import DeconvNet
from deconvnet.models import LoadedModel, dataset, load
from deconvnet.patches import exemplars
from deconvnet.store import Store, open_store
from deconvnet.tables import LayerTable


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    store = open_store(options.store)
    table = store[options.layer]
    channels = choose(table, options.channels)
    loaded = the_model(store, options.model, options.weights)
    size = (3, *loaded.preprocessing.size)
    net = DeconvNet(loaded.model, options.rectifier, elsewhere=options.elsewhere, input_size=size)
    check_model(store, net)
    data = dataset(options.data or str(store.attributes["dataset"]), loaded.preprocessing)
    found = exemplars(
        store,
        options.layer,
        channels,
        net=net,
        dataset=data,
        preprocessing=loaded.preprocessing,
    )
    rectifier = net.policies.rectifier.name
    figure = draw_exemplars(found, options.layer, width=options.width, rectifier=rectifier)
    how = provenance(
        loaded,
        layer=options.layer,
        channels=",".join(map(str, channels)),
        rectifier=rectifier,
        dataset=store.attributes["dataset"],
        model_fingerprint=store.attributes["model_fingerprint"],
    )
    save(figure, options.output, provenance=how)
    said(f"{options.output}: {len(channels)} channels of {options.layer}", options)
    return {"figure": options.output, "layer": options.layer, "channels": channels}


def choose(table: LayerTable, text: str) -> list[int]:
    """Channels by ``0-15``, ``3,7,9``, ``strongest:N`` or ``random:N``.

    ``strongest`` are those whose kept activations are highest on average; channels that never
    became positive are not among them, nor among the random ones.

    Raises:
        ValueError: the text has another form.
        IndexError: a channel does not exist.
    """
    named = re.fullmatch(r"(strongest|random):(\d+)", text)
    alive = np.flatnonzero(table.nonzero > 0)
    if named and named[1] == "random":
        chosen = np.random.default_rng(0).permutation(alive)[: int(named[2])]
        return sorted(chosen.tolist())
    if named:
        height = np.nanmean(table.activation[alive], axis=1)
        return sorted(alive[np.argsort(-height, kind="stable")[: int(named[2])]].tolist())
    if not re.fullmatch(r"\d+(-\d+)?(,\d+(-\d+)?)*", text):
        raise ValueError(f"channels were {text!r}; write 0-15, 3,7,9, strongest:12 or random:12")
    chosen_list: list[int] = []
    for part in text.split(","):
        first, _, last = part.partition("-")
        chosen_list.extend(range(int(first), int(last or first) + 1))
    for channel in chosen_list:
        if channel >= table.channels:
            raise IndexError(
                f"there is no channel {channel}; the layer's are 0 to {table.channels - 1}"
            )
    return chosen_list


def the_model(store: Store, spec: str | None, weights: str | None) -> LoadedModel:
    """The model a store names, unless told otherwise, with the store's preprocessing."""
    mined = store.attributes
    if not spec and ":" not in str(mined["model"]):
        raise ValueError(
            f"the store was mined from Python, from a {mined['model']}; say how to build it with "
            "--model path/to/file.py:factory"
        )
    own = str(mined.get("weights") or "") or None
    loaded = load(spec or str(mined["model"]), weights or own)
    if not mined["transform"]:
        return loaded
    preprocessing = Preprocessing.from_json(str(mined["transform"]))
    return LoadedModel(loaded.model, loaded.spec, loaded.weights, preprocessing, loaded.untrained)


def check_model(store: Store, net: DeconvNet) -> None:
    """The model must be the one that was mined.

    Raises:
        ValueError: its fingerprint differs.
    """
    mined, found = str(store.attributes["model_fingerprint"]), fingerprint.of_model(net.graph)
    if mined != found:
        raise ValueError(
            f"the store was mined from another model: its fingerprint is {mined[:12]}…, this "
            f"one's {found[:12]}…; give the model and weights it was mined with, or mine again"
        )
