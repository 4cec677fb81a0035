"""Resolve data sets and preprocessing given as objects, as words, or by a store."""

from __future__ import annotations

import os
from collections.abc import Mapping
from os import PathLike, fspath
from typing import Any

from torch.utils.data import Subset

from deconvnet.arguments import expanded

from .configurations import is_preset, is_timm_config, of_timm, of_torchvision
from .factories import FORMS, made_by
from .hugging_face import HuggingFaceImages, is_hugging_face, load_from_disk
from .image_folder import SUFFIXES, ImageFolder
from .pictures import Prepares
from .preprocessing import Preprocessing
from .samples import check_map_style
from .transform import SIGNALS, Transform, normalization_of

LISTS = (".txt", ".lst")
"""What the name of a list of images ends in."""
SPECS = f"a folder of images, a list of them (.txt), hf:PATH[:COLUMN], {FORMS}"
UNKNOWN = "unknown"
"""What a store says of a preprocessing that nobody stated."""
_HUGGING_FACE = "hf:"
HOW = (
    "give preprocessing=deconvnet.Preprocessing(size=(96, 96), resize=96, mean=..., std=...), "
    "torchvision's weights or transforms, timm's model.pretrained_cfg, or a callable; to this call,"
    " to DeconvNet, or put it on the data set or the model as their attribute preprocessing; on "
    "the command line give --mean and --std"
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


def dataset(spec: str, preprocessing: Prepares, *, identity: str = "size") -> Any:
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
    check_spec(spec)
    if spec.startswith(_HUGGING_FACE):
        path, column = _hugging_face_parts(spec)
        rows = load_from_disk(path)
        return HuggingFaceImages(rows, preprocessing, column=column, identity=identity)
    spec = expanded(spec)
    if os.path.isdir(spec):
        return ImageFolder(spec, preprocessing, identity=identity)
    if spec.lower().endswith(LISTS):
        return ImageFolder.from_list(spec, preprocessing, identity=identity)
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
            f"{spec} is a factory, so the {identity} of its files is not known; give its data set "
            "a method fingerprint(), which is used instead"
        )
    return made


def check_spec(spec: str) -> None:
    """Check that a word of ``dataset`` has one of its forms and names something that is there.

    Raises:
        FileNotFoundError: there is no such folder, list or Python file.
        ValueError: a word of none of these forms.
    """
    if spec.startswith(_HUGGING_FACE):
        return
    spec = expanded(spec)
    if os.path.isdir(spec):
        return
    if spec.lower().endswith(LISTS):
        if not os.path.isfile(spec):
            raise FileNotFoundError(f"there is no file {spec!r}, expected a list of images")
        return
    if os.path.isfile(spec):
        kind = "one image" if spec.lower().endswith(SUFFIXES) else "a file of no known kind"
        raise ValueError(f"{spec!r} is {kind}; give {SPECS}")
    place, _, name = spec.rpartition(":")
    if not place or not name:
        raise FileNotFoundError(f"there is no folder {spec!r}; give {SPECS}")
    if place.endswith(".py") and not os.path.isfile(place):
        raise FileNotFoundError(f"there is no file {place!r}")


def mined_dataset(
    attributes: Mapping[str, Any], preprocessing: Prepares, spec: str | None = None
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


def accepted(given: Any) -> Prepares:
    """A preprocessing in any of the forms that a user has it in.

    Args:
        given: a ``Preprocessing`` or a ``Transform``; torchvision's weights, or the transforms
            that they give; timm's ``model.pretrained_cfg``, or what ``resolve_data_config``
            returned; or a callable that takes a PIL image (see ``Transform``).

    Raises:
        TypeError: anything else.
    """
    stated = _stated(given)
    if stated is not None:
        return stated
    if callable(given) and not isinstance(given, type):
        return Transform(given)
    raise TypeError(
        f"preprocessing={given!r} was given, expected a deconvnet.Preprocessing, torchvision's "
        "weights or transforms, timm's model.pretrained_cfg, or a callable that makes a tensor of "
        "a PIL image"
    )


def _stated(given: Any) -> Prepares | None:
    """What cannot be anything but a preprocessing; None of all else, plain callables too."""
    if isinstance(given, Prepares):
        return given
    if is_preset(given):
        return of_torchvision(given)
    return of_timm(given) if is_timm_config(given) else None


def known_preprocessing(
    stated: Any = None,
    *,
    data: Any = None,
    model: Any = None,
    attributes: Mapping[str, Any] | None = None,
) -> Prepares | None:
    """The preprocessing: as stated, else the data set's own, else the net's, else the store's.

    This is the one rule for use and for display.

    Args:
        stated: the argument of a call, in any form that ``accepted`` takes.
        data: a data set; see ``preprocessing_of_data``.
        model: a DeconvNet, with what it was given, or a model: its attribute ``preprocessing``,
            else timm's ``pretrained_cfg``.
        attributes: of a store.

    Raises:
        TypeError: something else was stated.
    """
    if stated is not None:
        return accepted(stated)
    of_data = preprocessing_of_data(data)
    if of_data is not None:
        return of_data
    for holder in (model, getattr(model, "model", None)):
        for name in ("preprocessing", "pretrained_cfg"):
            own = _stated(getattr(holder, name, None))
            if own is not None:
                return own
    return recorded(attributes or {})


def preprocessing_of_data(data: Any) -> Prepares | None:
    """What a data set says was applied to its images.

    That is its attribute ``preprocessing``, else a ``transform`` that is one of torchvision's
    presets or ends in ToTensor and Normalize. Of a ``Subset``, what its data set says.
    """
    while isinstance(data, Subset) and not hasattr(data, "preprocessing"):
        data = data.dataset
    own = _stated(getattr(data, "preprocessing", None))
    if own is not None:
        return own
    transform = getattr(data, "transform", None)
    known = _stated(transform) is not None or normalization_of(transform) is not None
    return accepted(transform) if known else None


def recorded(attributes: Mapping[str, Any]) -> Preprocessing | None:
    """The preprocessing that a store records; None if it records none, or one in words."""
    try:
        return Preprocessing.from_json(str(attributes.get("transform") or ""))
    except ValueError:
        return None


def needed_preprocessing(
    stated: Any,
    *,
    data: Any = None,
    model: Any = None,
    attributes: Mapping[str, Any] | None = None,
    axes: int = 2,
) -> Prepares:
    """As ``known_preprocessing``, but ValueError if it is not known.

    Signals (``axes`` = 1) need none to be drawn: the values that the model sees are.
    """
    known = known_preprocessing(stated, data=data, model=model, attributes=attributes)
    if known is None and axes == 1:
        return SIGNALS
    if known is None:
        raise ValueError(f"no preprocessing is known that turns tensors back into pictures; {HOW}")
    return known
