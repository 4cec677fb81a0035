"""The file of a part: safetensors, whose every claim is checked when it is read.

The header's texts say what was mined and which microbatches are done; the tensors are the tables
as ``TopK.state`` gives them, by the number of the layer, and the paths of the images in them. A
checksum covers both. Nothing in such a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from deconvnet.mining.topk import TopK
from deconvnet.store.store import Failed

from . import request
from .blocks import checked_ranges
from .part import FirstNaN, Part

FORMAT = "deconvnet part 2"
_LONGEST_HEADER = 100_000_000  # safetensors' own limit
_TEXTS = ("request", "done", "failed", "nan", "process", "replaces")


def heading(path: Path) -> Part:
    """What a part says of itself, without its tables.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a whole part of a known format; the message says what to do.
    """
    return _read(path, whole=False)


def read(path: Path) -> Part:
    """A part with its tables.

    Raises:
        FileNotFoundError, ValueError: as ``heading``, and if its checksum is another.
    """
    return _read(path, whole=True)


def to_bytes(part: Part) -> bytes:
    """The content of a part's file."""
    tensors = {"images": torch.tensor(list(part.images), dtype=torch.int64)}
    paths = "\0".join(part.images.values()).encode("utf-8", "surrogateescape")
    tensors["paths"] = torch.from_numpy(np.frombuffer(paths, dtype=np.uint8).copy())
    for number, top in enumerate(part.tops.values()):
        tensors |= {f"{number}/{name}": tensor for name, tensor in top.state().items()}
    nan = part.nan and [part.nan.microbatch, part.nan.layer, list(part.nan.images)]
    texts = {
        "request": part.request.to_json(),
        "done": json.dumps(part.done),
        "failed": json.dumps([[each.index, each.path, each.reason] for each in part.failed]),
        "nan": json.dumps(nan),
        "process": part.process,
        "replaces": part.replaces,
    }
    return save(tensors, {"format": FORMAT, "sha256": _sum(texts, tensors), **texts})


def _read(path: Path, *, whole: bool) -> Part:
    try:
        with path.open("rb") as file:
            # the size of what is open: another state may take its name at any moment
            texts = _texts(file.read(8), file, os.fstat(file.fileno()).st_size)
            part = replace(_heading(texts), path=path)
            if not whole:
                return part
            file.seek(0)
            tensors = load(file.read())
        if _sum(texts, tensors) != texts.get("sha256"):
            raise ValueError("its content does not have the checksum that it names")
        return _filled(part, tensors)
    except (ValueError, SafetensorError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} holds no mined part ({error}); delete it, and what it held is mined "
            "again"
        ) from error


def _texts(start: bytes, file: Any, size: int) -> dict[str, str]:
    """The texts in the header of a safetensors file, whose claims are checked first."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError("it is cut short, or something else")
    header = json.loads(file.read(length))
    texts = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(texts, dict) or texts.get("format") != FORMAT:
        found = texts.get("format") if isinstance(texts, dict) else None
        raise ValueError(f"its format is {found!r}, expected {FORMAT!r}")
    missing = [name for name in (*_TEXTS, "sha256") if not isinstance(texts.get(name), str)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    _check_length(header, size - 8 - length)
    return texts


def _check_length(header: Mapping[str, Any], size: int) -> None:
    """A file that was cut is told by its header: the tensors end before it says they do."""
    try:
        ends = [one["data_offsets"][1] for name, one in header.items() if name != "__metadata__"]
        whole = max(ends, default=0) == size
    except (LookupError, TypeError) as error:
        raise ValueError("its header is no header of safetensors") from error
    if not whole:
        raise ValueError("it is cut short, or longer than it says")


def _heading(texts: Mapping[str, str]) -> Part:
    asked = request.of_json(texts["request"])
    done = checked_ranges(json.loads(texts["done"]), asked.total)
    try:
        failed = tuple(Failed(int(i), str(p), str(r)) for i, p, r in json.loads(texts["failed"]))
        nan = json.loads(texts["nan"])
        first = None if nan is None else FirstNaN(int(nan[0]), str(nan[1]), tuple(nan[2]))
    except (LookupError, TypeError) as error:
        raise ValueError(f"its failed or NaN images cannot be read: {error}") from error
    process, replaces = texts["process"], texts["replaces"]
    return Part(asked, done, failed, first, process, replaces, None, {}, {})


def _filled(part: Part, tensors: Mapping[str, Tensor]) -> Part:
    """The part with its tables, when they are those of its heading."""
    tops: dict[str, TopK] = {}
    good = part.seen - len(part.failed)
    for number, (layer, channels) in enumerate(part.request.channels.items()):
        keys = tensors.get(f"{number}/keys")
        if keys is None or keys.shape != (channels, part.request.k):  # nothing larger than the file
            raise ValueError(f"the table of {layer} lacks keys, or has another shape")
        top = TopK(channels, part.request.k)
        state = {name: tensors.get(f"{number}/{name}") for name in top.state()}
        for name, expected in top.state().items():
            found = state[name]
            if found is None or (found.shape, found.dtype) != (expected.shape, expected.dtype):
                raise ValueError(f"the table of {layer} lacks {name}, or has another shape")
        tops[layer] = TopK.from_state({n: t for n, t in state.items() if t is not None})
        if (tops[layer].k, tops[layer].images) != (part.request.k, good):
            raise ValueError(
                f"the table of {layer} counts {tops[layer].images} images at "
                f"k={tops[layer].k}, expected {good} at k={part.request.k}"
            )
    if not {"images", "paths"} <= tensors.keys():
        raise ValueError("it lacks the paths of its images")
    paths = tensors["paths"].numpy().tobytes().decode("utf-8", "surrogateescape")
    indices = tensors["images"].tolist()
    names = paths.split("\0") if indices else []
    if len(names) != len(indices):
        raise ValueError(f"it has {len(names)} paths for {len(indices)} images")
    return replace(part, tops=tops, images=dict(zip(indices, names, strict=True)))


def _sum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over all that a part says."""
    digest = hashlib.sha256("\0".join(texts[name] for name in _TEXTS).encode("utf-8", "replace"))
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
