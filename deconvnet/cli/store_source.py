"""Load the model that a store was mined from."""

from __future__ import annotations

from dataclasses import replace

from deconvnet.data import Preprocessing
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
