"""Load the model that a store was mined from, and check that it is the same."""

from __future__ import annotations

from dataclasses import replace

from deconvnet.data import Preprocessing
from deconvnet.mining import fingerprint
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.zoo.load import LoadedModel, load


def the_model(store: Store, spec: str | None, weights: str | None) -> LoadedModel:
    """Load the model that a store names, unless told otherwise, with the store's preprocessing."""
    mined = store.attributes
    named, transform = str(mined.get("model") or ""), str(mined.get("transform") or "")
    if not spec and ":" not in named:
        by = f"was mined from Python, from a {named}" if named else "does not say what was mined"
        raise ValueError(
            f"the store {by}; say how to build the model with --model path/to/file.py:factory"
        )
    own = str(mined.get("weights") or "") or None
    loaded = load(spec or named, weights or own)
    if not transform:
        return loaded
    return replace(loaded, preprocessing=Preprocessing.from_json(transform))


def check_model(store: Store, net: DeconvNet) -> None:
    """Raise ValueError if the fingerprint of the model is not that of the mined one."""
    mined = str(store.attributes.get("model_fingerprint") or "")
    given = fingerprint.of_model(net.graph)
    if fingerprint.comparable(mined) and mined != given:  # activations are compared besides
        raise ValueError(
            f"the store was mined from another model: its fingerprint is {mined[:12]}…, this "
            f"one's {given[:12]}…; give the model and weights it was mined with, or mine again"
        )
