"""The model and the data set that a store was mined from, as it names them."""

from __future__ import annotations

from dataclasses import dataclass

from deconvnet.data import Preprocessing
from deconvnet.mining import fingerprint
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.zoo.load import LoadedModel, load


@dataclass(frozen=True)
class Origin:
    """What a store says of its model; it need not be there.

    Args:
        spec: the word it was loaded by.
        weights: the file of its weights.
    """

    spec: str
    weights: str


def the_origin(store: Store) -> Origin:
    """By what words the model was loaded that a store was mined from."""
    return Origin(*(str(store.attributes.get(name) or "") for name in ("model", "weights")))


def the_model(store: Store, spec: str | None, weights: str | None) -> LoadedModel:
    """The model a store names, unless told otherwise, with the store's preprocessing."""
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
    preprocessing = Preprocessing.from_json(transform)
    return LoadedModel(loaded.model, loaded.spec, loaded.weights, preprocessing, loaded.untrained)


def check_model(store: Store, net: DeconvNet) -> None:
    """The model must be the one that was mined.

    Raises:
        ValueError: its fingerprint differs.
    """
    mined = str(store.attributes.get("model_fingerprint") or "")
    found = fingerprint.of_model(net.graph)
    if fingerprint.comparable(mined) and mined != found:  # activations are compared besides
        raise ValueError(
            f"the store was mined from another model: its fingerprint is {mined[:12]}…, this "
            f"one's {found[:12]}…; give the model and weights it was mined with, or mine again"
        )
