"""Data sets by a word on the command line, and again from what a store says of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
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


def dataset(spec: str, preprocessing: Preprocessing, *, identity: str = "size") -> Any:
    """Build a data set.

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
    place, colon, name = spec.rpartition(":")
    if not colon or not place or not name:
        raise FileNotFoundError(f"there is no folder {spec!r}; give {SPECS}")
    return _from_factory(spec, preprocessing, identity)


def mined_dataset(
    attributes: Mapping[str, Any], preprocessing: Preprocessing, spec: str | None = None
) -> Any:
    """The data set that a store names, or where it has moved to, with the same fingerprint.

    Args:
        attributes: the store's.
        preprocessing: the store's.
        spec: the data set, if it has moved.

    Raises:
        ValueError: the store does not say how to build it; or as ``dataset``, like the others.
    """
    word = expanded(spec) if spec else str(attributes.get("dataset", ""))
    if not spec and ":" not in word and not os.path.exists(word):
        raise ValueError(
            f"the store was mined from {word!r}, which is not here; say where it is with --data"
        )
    by_content = str(attributes.get("dataset_fingerprint", "")).startswith("content:")
    return dataset(word, preprocessing, identity="content" if by_content else "size")


def anchored(spec: str) -> str:
    """The same word with its path absolute, so that it holds wherever one stands.

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


def _from_factory(spec: str, preprocessing: Preprocessing, identity: str) -> Any:
    place, _, name = spec.rpartition(":")
    made = made_by(place, name)
    if is_hugging_face(made):
        return HuggingFaceImages(made, preprocessing, identity=identity)
    try:
        check_map_style(made)
    except TypeError as error:
        raise TypeError(f"{spec} returned no map-style data set: {error}") from error
    if identity != "size":
        raise ValueError(
            f"{spec} is a factory, of whose data set the {identity} is not known; give it a "
            "method fingerprint(), which is used then"
        )
    return made
