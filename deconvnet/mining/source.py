"""The model and the data set that a store was mined from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from torch import nn

from deconvnet.data import Preprocessing
from deconvnet.data.resolve import mined_dataset, needed_preprocessing, recorded
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.zoo.load import LoadedModel, adapted, load


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
        axes = next((table.axes for table in store.values()), 2)
        # the data set that a store names was prepared as the store records, whatever the net states
        stated = recorded(store.attributes) if preprocessing is None else preprocessing
        prepared = needed_preprocessing(stated, model=model, attributes=store.attributes, axes=axes)
        data = mined_dataset(store.attributes, prepared)
    return model, data


def the_model(
    store: Store,
    spec: str | None,
    weights: str | None,
    *,
    stated: Mapping[str, Any] | None = None,
) -> LoadedModel:
    """Load the model that a store names, unless told otherwise, with the store's preprocessing.

    ``stated``: fields of the preprocessing, such as mean and std, that the user states instead.

    Raises:
        ValueError: no model was given and the store names none that can be loaded.
    """
    mined = store.attributes
    named = str(mined.get("model") or "")
    if not spec and ":" not in named:
        by = f"was mined from Python, from a {named}" if named else "does not say what was mined"
        raise ValueError(
            f"the store {by}; say how to build the model: --model path/to/file.py:factory, in "
            "Python net="
        )
    own = str(mined.get("weights") or "") or None
    loaded = load(spec or named, weights or own)
    changed = {key: value for key, value in (stated or {}).items() if value is not None}
    known = recorded(mined)
    prepared = known or loaded.preprocessing
    size = mined.get("input_size")
    if known is None and isinstance(prepared, Preprocessing) and isinstance(size, tuple):
        here = size if mined.get("format_version") == 1 else size[1:]  # without channels then
        prepared = replace(prepared, size=here, resize=None)  # of images that come as tensors
    if changed:
        prepared = adapted(prepared, changed, axes=len(loaded.shape) - 1)
    told, shape = bool(changed) or known is not None, prepared.shape or loaded.shape
    return replace(loaded, preprocessing=prepared, stated=told, shape=shape)
