"""The model and the data set that a store was mined from."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from torch import nn

from deconvnet.data.resolve import mined_dataset, needed_preprocessing, recorded
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.zoo.load import LoadedModel, load


def source_of(
    store: Store, model: DeconvNet | nn.Module | None, data: Any, *, preprocessing: Any = None
) -> tuple[DeconvNet | nn.Module, Any]:
    """Model and data set of a call: as given, else those of this process, else those of the store.

    A store that ``mine`` returned remembers what it was mined from. One that was opened follows
    the words that it records, which may name a Python file: only of stores you trust.

    Raises:
        ValueError: the store does not say how to build the model, or where its data set is.
    """
    here = store.mined_from or (None, None)
    model, data = (here[0] if model is None else model), (here[1] if data is None else data)
    if model is None:
        model = the_model(store, None, None).model
    if data is None:
        prepared = needed_preprocessing(preprocessing, model=model, attributes=store.attributes)
        data = mined_dataset(store.attributes, prepared)
    return model, data


def the_model(store: Store, spec: str | None, weights: str | None) -> LoadedModel:
    """Load the model that a store names, unless told otherwise, with the store's preprocessing.

    Raises:
        ValueError: no model was given and the store names none that can be loaded.
    """
    mined = store.attributes
    named = str(mined.get("model") or "")
    if not spec and ":" not in named:
        by = f"was mined from Python, from a {named}" if named else "does not say what was mined"
        raise ValueError(
            f"the store {by}; give the model: net= in Python, --model path/to/file.py:factory on "
            "the command line"
        )
    own = str(mined.get("weights") or "") or None
    loaded = load(spec or named, weights or own)
    known = recorded(mined)
    return loaded if known is None else replace(loaded, preprocessing=known)
