"""Specification of the file of a mined data set: HDF5, version 2.

MUST and MAY bind whoever writes such a file. A reader refuses a file that breaks a MUST, and
passes over attributes, groups and datasets that it does not know, and keeps them where it writes
the file again. So what MAY be there can grow within a version; the version changes when an older
reader would take a file for what it is not. A reader refuses versions that it does not know.
Version 1 had images of two axes and an ``input_size`` without the channels, was ranked by "max",
and had neither ``ties``, ``lowest``, ``sample`` nor ``directions``; this reader reads it.

D is the number of spatial axes of the model's input: 1, 2 or 3. A position has the last D of
``depth``, ``row`` and ``col``: ``col`` alone for signals, ``row`` and ``col`` for images.

``/`` attributes
    MUST: ``format`` = "deconvnet"; ``format_version`` = 2; ``complete`` = 1; ``k`` (integer);
    ``order`` (text). MUST where they are not 0, 0, 0 and "max": ``lowest``, ``sample``,
    ``random_state`` (integers), ``rank`` ("max" or "mean"). MAY, and ``deconvnet.mine`` does:
    ``model``, ``model_fingerprint``, ``dataset``, ``dataset_fingerprint``, ``transform``,
    ``input_size`` (channels, *size of an image), ``batch_shape``, ``dtype``, ``device``,
    ``layout``, ``threads``, ``nan_policy``, ``versions`` (a JSON object as text),
    ``images_seen``, ``images_failed``. A value is text, a number or a list of numbers, and of
    these names always of one kind, see ``KINDS``.
``/layers/<name>``
    A group for each layer, in the order of the network. In a name ``%`` is written ``%25``, ``/``
    is ``%2F``, and a name that is one dot is ``%2E``. Attributes, MUST: ``channels``, and
    ``size``, ``field``, ``stride`` (lists of numbers, pixels; empty where there is none). After
    up-sampling, ``field`` is the largest of a layer's fields, and ``stride``, the pixels from one
    unit to the next on average, may hold fractions; then it is a list of float64, else of int64.
    Datasets, MUST, with C channels:

    =============  ===========  =======  ========================================================
    activation     (C, k)       float32  descending; ties by image ascending; NaN: an empty slot
    image          (C, k)       int64    the index in the data set; -1: an empty slot
    [depth,]
    [row,] col     (C, k)       int32    the first position of the maximum in row-major order; -1
    box            (C, k, 2D)   int32    the D starts, then the D ends, half-open, in pixels of
                                         the input (top, left, bottom, right of an image); -1
    mean           (C,)         float64  of the activation over all images and positions, no NaN
    nonzero        (C,)         float64  the share of images with a maximum above 0; 0: dead
    nan            (C,)         int64    how many activations were NaN
    =============  ===========  =======  ========================================================

    An image stands at most once in a channel. With ``rank`` = "mean", ``activation`` is the mean
    of the map, without NaN, and MUST: ``peak`` (C, k) float32, the value at the position, which
    is that of the maximum still; NaN: an empty slot. MAY: ``ties`` (C,) int64, how many images
    are left out that have the same activation as the last entry, and a larger index. MAY:
    pictures, as follows after the other tables.
``/layers/<name>/lowest``
    MUST where the attribute ``lowest`` of ``/``, here k, is above 0: the images with the smallest
    minimum over positions, or the smallest mean. Datasets: those of the layer without ``mean``,
    ``nonzero`` and ``nan``; ``activation`` ascending, ties by image ascending; the position is the
    first of the minimum, and ``peak`` the value there. Attributes, MUST: ``of``, the layer whose
    activations these are, the layer itself unless it is a rectifier, all of whose minima would be
    0: then the layer before it; ``size``, of the map of that layer.
``/sample``, ``/layers/<name>/sample``
    MUST where the attribute ``sample`` of ``/``, here n, is above 0. ``/sample/image`` (n,) int64:
    those n of the images that could be used which have the smallest hash, in its order, so that
    the first m of them are the sample of m; -1 where there are fewer. The hash of image i is the
    BLAKE2b digest, of 8 bytes, of the text "<random_state> <i>" in ASCII, compared as bytes,
    equal ones by image. ``/layers/<name>/sample``: ``activation`` (C, n), the position, ``box``
    and, with ``rank`` = "mean", ``peak``, as in the layer's own table, of these images in this
    order: the maximum or mean of every channel. Where a map is NaN all over, they are NaN and -1.
``/layers/<name>/directions/<set>``
    MAY: tables of what V directions in the space of the layer's channels respond: at each position
    the sum over channels of direction times map. All datasets of a layer, with V for C, and
    ``vector`` (V, C) float32: the directions, as they were given. MAY: ``lowest``, whose ``of`` is
    the layer itself, and ``sample``. ``deconvnet.mine`` names its set "given".
``/layers/<name>/overhang``, ``/layers/<name>/patch``
    MAY; where one is, both MUST be. They are of the entries whose activation (``peak`` where that
    is there) is above 0 and whose box is not empty; of all others ``overhang`` and ``offset`` are
    -1. Where they are, MAY: the same beside ``lowest``, ``sample`` and in a set of ``directions``
    and its two. Those of ``lowest`` and of directions are of all entries whose box is not empty;
    those of ``sample``, in the order of the activations, ties as they stand, without empty
    boxes, of the entries numbered round(q (m - 1)), of m, for the quantiles q = 0, .1, .25, .3,
    .5, .7, .75, .9, 1 (a half is rounded to the even number).

    ==============  =========  ======  ========================================================
    overhang        (C, k, D)  int32   pixels between the start of the layer's whole field and
                                       that of the box: what the border of the image has cut
                                       off; of a field as large as the image: between the start
                                       of the image and that of the box
    patch/bytes     (B,)       uint8   the images in the boxes, as the model's preprocessing has
                                       left them, one after the other
    patch/offset    (C, k)     int64   where in ``bytes`` the entry's file starts
    patch/length    (C, k)     int32   its length; entries MAY share a file
    ==============  =========  ======  ========================================================

    Attributes of ``patch``, MAY: ``channels`` (3 if missing) and ``encoding``: "jpeg" if missing,
    a file in three colours, as high and wide as the box; or "uint8" (0 is black, 255 white) or
    "float32" (of a signal, in units of its own), the values of the box in the order of its axes,
    then channel.
``/layers/<name>/projection/<rectifier>``
    MAY, beside ``patch``. The name is escaped like a layer's. Attributes, MUST: ``channels`` (of a
    pixel), ``elsewhere`` (text: what happened at activations that the policy has no rule for;
    empty where that is an error). Datasets, MUST:

    ==============  =========  =======  ========================================================
    values          (V,)       float16  projections, one after the other, each in the order of
                                        the axes of its box, then channel; signed
    offset          (C, k)     int64    where in ``values`` the entry's projection starts; no two
                                        overlap; -1
    scale           (C, k)     float32  what its values are to be multiplied by; above 0
    ==============  =========  =======  ========================================================
``/images``
    MUST: ``index`` (M,) int64, ascending; ``path`` (M,) text of fixed length. Every image that
    stands in a table or in the sample is here. A path is its file system's own bytes, UTF-8
    nearly always.
``/failed``
    MUST: ``index`` (F,) int64; ``path`` (F,); ``reason`` (F,): the images that could not be used.

Integers and floats are little-endian. Datasets MUST be stored inside the file, contiguous and
without filters; links MUST be hard links: no external files, no virtual datasets. The same
content gives the same bytes: no clock, no host name.
"""

import json
import numbers
import re
from collections.abc import Mapping, Sequence
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

FORMAT = "deconvnet"
VERSION = 2
READ = (1, 2)
"""The versions that are read."""
ORDER = "activation descending, image ascending, first position in row-major order"
AXES = ("depth", "row", "col")
"""The datasets of a position; those of D axes are the last D."""
COUNTERS = {"mean": "<f8", "nonzero": "<f8", "nan": "<i8"}
"""The datasets of a layer of shape (channels,)."""
MAX, MEAN = RANKS = ("max", "mean")
"""What images are ranked by: the maximum over the positions of a map, or their mean."""
DEFAULTS = {"lowest": 0, "sample": 0, "random_state": 0, "rank": MAX}
"""Attributes of ``/`` that mean this where they are missing, as in version 1."""
KINDS = {
    **dict.fromkeys(
        ("model", "model_fingerprint", "weights", "dataset", "dataset_fingerprint"), str
    ),
    **dict.fromkeys(("transform", "dtype", "device", "layout", "nan_policy", "order", "rank"), str),
    **dict.fromkeys(("threads", "images_seen", "images_failed", "k"), int),
    **dict.fromkeys(("lowest", "sample", "random_state"), int),
    **dict.fromkeys(("input_size", "batch_shape"), tuple),
    "versions": dict,
}
"""What the attributes of ``/`` are, where they are; a tuple is of positive integers."""
NAMED = frozenset(
    (*KINDS, "format", "format_version", "complete", "channels", "size", "field", "stride")
) | {"elsewhere", "encoding", "of"}
"""The attributes that the format gives a meaning, of ``/`` and of layers and projections."""
_TABLE: dict[str, dict[str, Any]] = {
    **dict.fromkeys(("activation", "image", *AXES, "box", "peak", "ties"), {}),
    "overhang": {},
    "patch": dict.fromkeys(("bytes", "offset", "length"), {}),
    "projection": {"*": dict.fromkeys(("values", "offset", "scale"), {})},
}
_LAYER = {**_TABLE, **dict.fromkeys(COUNTERS, {})}
CONTENT: dict[str, dict[str, Any]] = {
    "images": {"index": {}, "path": {}},
    "failed": {"index": {}, "path": {}, "reason": {}},
    "sample": {"image": {}},
    "layers": {
        "*": {
            **_LAYER,
            "lowest": _TABLE,
            "sample": _TABLE,
            "directions": {"*": {**_LAYER, "lowest": _TABLE, "sample": _TABLE, "vector": {}}},
        }
    },
}
"""The groups and datasets of a store, each with what is in it; ``*`` is for any name. All else in
a file was added by somebody, and is kept by whatever rewrites it."""
JSON = ("versions",)
"""Attributes that are JSON as text."""
_LONGEST_TEXT = 60_000  # HDF5 refuses attributes above 64 kB


def columns(axes: int, rank: str) -> dict[str, tuple[str, tuple[int, ...]]]:
    """The datasets of shape (channels, k, ...) of a table: {name: (type, what follows k)}.

    ``axes`` is the number of spatial axes of the input, ``rank`` one of ``RANKS``.
    """
    peak: dict[str, tuple[str, tuple[int, ...]]] = {"peak": ("<f4", ())} if rank == MEAN else {}
    return {
        "activation": ("<f4", ()),
        "image": ("<i8", ()),
        **dict.fromkeys(AXES[len(AXES) - axes :], ("<i4", ())),
        "box": ("<i4", (2 * axes,)),
        **peak,
    }


def escape(name: str) -> str:
    """A layer's name as the name of an HDF5 group."""
    if not name or "\0" in name:
        raise ValueError(f"a layer cannot be stored under the name {name!r}; give it another name")
    return "%2E" if name == "." else name.replace("%", "%25").replace("/", "%2F")


def unescape(name: str) -> str:
    """A layer's name from that of its group."""
    return re.sub("%(25|2F|2E)", lambda code: chr(int(code[1], 16)), name)


def texts_to_array(texts: Sequence[str]) -> NDArray[np.bytes_]:
    """Encode texts at a fixed length; undecodable bytes of Python's file names are kept."""
    encoded = [text.encode("utf-8", "surrogateescape") for text in texts]
    length = max((len(text) for text in encoded), default=0)
    return np.array(encoded, dtype=h5py.string_dtype("utf-8", max(1, length)))


def array_to_texts(array: NDArray[np.bytes_]) -> list[str]:
    """Decode what ``texts_to_array`` encoded."""
    return [bytes(text).decode("utf-8", "surrogateescape") for text in array]


def write_attributes(target: h5py.AttributeManager, attributes: Mapping[str, object]) -> None:
    """Write attributes, sorted by name."""
    for name, value in sorted(attributes.items()):
        target[name] = _attribute(name, value)


def check_attributes(attributes: Mapping[str, object]) -> None:
    """Check that attributes can be written, before the work whose result they describe."""
    for name, value in attributes.items():
        _attribute(name, value)


def _attribute(name: str, value: object) -> object:
    if isinstance(value, Mapping):
        value = json.dumps(value, sort_keys=True)
    if isinstance(value, str):
        text = value.encode("utf-8", "backslashreplace")
        if len(text) > _LONGEST_TEXT or b"\0" in text:
            raise ValueError(
                f"attribute {name!r} is a text of {len(text)} bytes, expected at most "
                f"{_LONGEST_TEXT} and no NUL; shorten it"
            )
        return text.decode()
    items = value if isinstance(value, list | tuple) else [value]
    if all(isinstance(item, numbers.Integral | np.bool_) for item in items):
        return np.array(value, dtype="<i8")
    if all(isinstance(item, numbers.Real) for item in items):
        return np.array(value, dtype="<f8")
    raise TypeError(
        f"attribute {name!r} is {value!r}, expected text, a number, a list of numbers or a dict"
    )
