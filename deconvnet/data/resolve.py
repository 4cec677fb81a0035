"""Data sets as they are given to a call: one that is there, or where one lies."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from .hugging_face import HuggingFaceImages, is_hugging_face
from .preprocessing import Preprocessing
from .specs import dataset

_HOW = (
    "give preprocessing=deconvnet.Preprocessing(...), or torchvision's weights, or put it on the "
    "model as model.preprocessing"
)


def given_dataset(
    data: Any,
    *,
    preprocessing: Any = None,
    model: Any = None,
    attributes: Mapping[str, Any] | None = None,
) -> Any:
    """The data set, opened if it was given as a path or another word of ``datasets.dataset``.

    Args:
        data: a data set, which comes back as it is (one of Hugging Face's as tensors, if it is
            known how); or a folder of images, a list of them, ``hf:PATH`` or a factory, as text
            or path.
        preprocessing: makes tensors of images; else that of the model, else that of the store.
        model: a module, which may have an attribute ``preprocessing``; or its DeconvNet.
        attributes: of a store that was mined from this data set.

    Raises:
        ValueError: nobody says how the images become tensors; or as ``datasets.dataset``, like
            the others.
    """
    is_word, facts = isinstance(data, str | PathLike), attributes or {}
    if not is_word and not is_hugging_face(data):
        return data
    known = known_preprocessing(preprocessing, model=model, attributes=facts)
    if known is None and is_word:
        raise ValueError(
            f"the data set was given as {fspath(data)!r}, but not how its images become tensors: "
            f"{_HOW}"
        )
    by_content = str(facts.get("dataset_fingerprint", "")).startswith("content:")
    identity = "content" if by_content else "size"
    if known is None:
        return data
    if is_word:
        return dataset(fspath(data), known, identity=identity)
    return HuggingFaceImages(data, known, identity=identity)


def known_preprocessing(
    stated: Any = None,
    *,
    data: Any = None,
    model: Any = None,
    attributes: Mapping[str, Any] | None = None,
) -> Preprocessing | None:
    """What makes tensors of images: as stated, else the data set's own, the model's, the store's.

    Args:
        stated: a ``Preprocessing``, or torchvision's weights of a classification network.
        data: may have an attribute ``preprocessing``.
        model: likewise; or its DeconvNet.
        attributes: of a store.

    Raises:
        TypeError: something else was stated.
        ValueError: weights whose transforms are of another kind.
    """
    if stated is not None:
        return _of(stated)
    for holder in (data, model, getattr(model, "model", None)):
        own = getattr(holder, "preprocessing", None)
        if isinstance(own, Preprocessing):
            return own
    transform = (attributes or {}).get("transform")
    return Preprocessing.from_json(str(transform)) if transform else None


def needed_preprocessing(
    stated: Any, *, data: Any, model: Any, attributes: Mapping[str, Any]
) -> Preprocessing:
    """The same where tensors are to become pictures again.

    Raises:
        ValueError: nobody says it.
    """
    found = known_preprocessing(stated, data=data, model=model, attributes=attributes)
    if found is None:
        raise ValueError(f"it is not known how tensors become pictures again: {_HOW}")
    return found


def _of(stated: Any) -> Preprocessing:
    if isinstance(stated, Preprocessing):
        return stated
    if callable(getattr(stated, "transforms", None)) or hasattr(stated, "crop_size"):
        return Preprocessing.from_weights(stated)
    raise TypeError(
        f"preprocessing={stated!r} was given, expected a deconvnet.Preprocessing, or torchvision's "
        "weights of a classification network"
    )
