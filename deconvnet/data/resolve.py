"""Resolve data sets and preprocessing given as objects, as words, or by a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from deconvnet.arguments import expanded

from .factories import FORMS, made_by
from .hugging_face import HuggingFaceImages, is_hugging_face, load_from_disk
from .image_folder import SUFFIXES, ImageFolder
from .preprocessing import Preprocessing
from .samples import check_map_style

LISTS = (".txt", ".lst")
"""What the name of a list of images ends in."""
SPECS = f"a folder of images, a list of them (.txt), hf:PATH[:COLUMN], {FORMS}"
_HUGGING_FACE = "hf:"
HOW = (
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
    """The data set of a call, opened if it was given as a path or another word of ``dataset``.

    A data set is returned as it is; one of Hugging Face's as tensors, if the preprocessing is known
    (see ``known_preprocessing``). ``attributes`` are those of a store that was mined from it.
    """
    is_word, facts = isinstance(data, str | PathLike), attributes or {}
    if not is_word and not is_hugging_face(data):
        return data
    known = known_preprocessing(preprocessing, model=model, attributes=facts)
    if known is not None and is_word:
        return dataset(fspath(data), known, identity=_identity(facts))
    if known is not None:
        return HuggingFaceImages(data, known, identity=_identity(facts))
    if is_word:
        given = f"the data set was given as {fspath(data)!r}"
        raise ValueError(f"{given}, without a preprocessing for its images; {HOW}")
    return data


def dataset(spec: str, preprocessing: Preprocessing, *, identity: str = "size") -> Any:
    """Open a data set that is given as a word.

    Args:
        spec: a folder of images, a list of them (``.txt`` or ``.lst``, one path a line),
            ``hf:PATH[:COLUMN]`` (what ``Dataset.save_to_disk`` of Hugging Face wrote), or a
            factory, ``path/to/file.py:function`` or ``package.module:function``, of a map-style
            data set or of one of Hugging Face's.
        preprocessing: makes tensors of images. What a factory returns is taken as it is, and
            must have been preprocessed like this already.
        identity: what stands for the data set in its fingerprint: the "size" of its files, or
            their "content", which is all read.

    Raises:
        FileNotFoundError: no such folder or list, or one without images.
        ValueError: a word of none of these forms; a factory that fails; no column of images.
        TypeError: a data set whose images cannot be read by their index.
        ImportError: a Hugging Face data set, and the package ``datasets`` is not installed.
    """
    if spec.startswith(_HUGGING_FACE):
        path, column = _hugging_face_parts(spec)
        rows = load_from_disk(path)
        return HuggingFaceImages(rows, preprocessing, column=column, identity=identity)
    spec = expanded(spec)
    if os.path.isdir(spec):
        return ImageFolder(spec, preprocessing, identity=identity)
    if spec.lower().endswith(LISTS):
        if not os.path.isfile(spec):
            raise FileNotFoundError(f"there is no file {spec!r}, expected a list of images")
        return ImageFolder.from_list(spec, preprocessing, identity=identity)
    if os.path.isfile(spec):
        kind = "one image" if spec.lower().endswith(SUFFIXES) else "a file of no known kind"
        raise ValueError(f"{spec!r} is {kind}; give {SPECS}")
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise FileNotFoundError(f"there is no folder {spec!r}; give {SPECS}")
    made = made_by(place, name)
    if is_hugging_face(made):
        return HuggingFaceImages(made, preprocessing, identity=identity)
    try:
        check_map_style(made)
    except TypeError as error:
        raise TypeError(f"{spec} returned no map-style data set: {error}") from error
    if identity != "size":
        raise ValueError(
            f"{spec} is a factory, so the {identity} of its files is not known; give its data set "
            "a method fingerprint(), which is used instead"
        )
    return made


def mined_dataset(
    attributes: Mapping[str, Any], preprocessing: Preprocessing, spec: str | None = None
) -> Any:
    """Open the data set that a store names, or at ``spec`` if it has moved."""
    word = expanded(spec) if spec else str(attributes.get("dataset", ""))
    if not spec and ":" not in word and not os.path.exists(word):
        raise ValueError(
            f"the store was mined from {word!r}, which was not found; give its place with --data"
        )
    return dataset(word, preprocessing, identity=_identity(attributes))


def _identity(attributes: Mapping[str, Any]) -> str:
    """Whether the fingerprint in a store was made from "size" or "content"."""
    mined = str(attributes.get("dataset_fingerprint", ""))
    return "content" if mined.startswith("content:") else "size"


def anchored(spec: str) -> str:
    """The word with its path made absolute, so that it is valid in any working directory.

    It is for words of models too: of ``path/to/file.py:factory`` the file is anchored.
    """
    if spec.startswith(_HUGGING_FACE):
        path, column = _hugging_face_parts(spec)
        return f"{_HUGGING_FACE}{os.path.abspath(path)}" + (f":{column}" if column else "")
    spec = expanded(spec)
    if os.path.exists(spec):
        return os.path.abspath(spec)
    place, colon, name = spec.rpartition(":")
    if place.endswith(".py") and os.path.isfile(place):
        return f"{os.path.abspath(place)}{colon}{name}"
    return spec


def _hugging_face_parts(spec: str) -> tuple[str, str | None]:
    """Path and column; a folder that is there is a path, whatever colons are in it."""
    whole = expanded(spec.removeprefix(_HUGGING_FACE))
    path, colon, column = whole.rpartition(":")
    if not colon or os.path.isdir(whole):
        return whole, None
    return path, column


def known_preprocessing(
    stated: Any = None,
    *,
    data: Any = None,
    model: Any = None,
    attributes: Mapping[str, Any] | None = None,
) -> Preprocessing | None:
    """The preprocessing: as stated, else the data set's own, else the model's, else the store's.

    It is stated as a ``Preprocessing``, or as torchvision's weights of a classification network.
    Data set and model, or its DeconvNet, may have an attribute ``preprocessing``.
    """
    if isinstance(stated, Preprocessing):
        return stated
    if callable(getattr(stated, "transforms", None)) or hasattr(stated, "crop_size"):
        return Preprocessing.from_weights(stated)
    if stated is not None:
        raise TypeError(
            f"preprocessing={stated!r} was given, expected a deconvnet.Preprocessing, or "
            "torchvision's weights of a classification network"
        )
    for holder in (data, model, getattr(model, "model", None)):
        own = getattr(holder, "preprocessing", None)
        if isinstance(own, Preprocessing):
            return own
    transform = (attributes or {}).get("transform")
    return Preprocessing.from_json(str(transform)) if transform else None


def needed_preprocessing(
    stated: Any, *, data: Any, model: Any, attributes: Mapping[str, Any]
) -> Preprocessing:
    """As ``known_preprocessing``, but ValueError if it is not known."""
    known = known_preprocessing(stated, data=data, model=model, attributes=attributes)
    if known is None:
        raise ValueError(f"no preprocessing is known that turns tensors back into pictures; {HOW}")
    return known
