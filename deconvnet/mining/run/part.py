"""What one process has mined: the tables of some microbatches, and the file that holds them.

The file is safetensors. The texts in its header say what was mined and which microbatches are
done; the tensors are the tables as ``Tables.state`` gives them, and the paths of the images in
them. A checksum covers both. Every value is checked when it is read, and
nothing in such a file is ever run.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from deconvnet.store.store import Failed

from .request import Request
from .tables import Tables

FORMAT = "deconvnet part 5"
_LONGEST_HEADER = 100_000_000  # safetensors' own limit
_TEXTS = ("request", "done", "failed", "nan", "process", "replaces")
_TRIED = 12  # overlapping parts among which the best choice is looked for; beyond, a good one is


@dataclass(frozen=True)
class FirstNaN:
    """Where NaN was met first: in which microbatch, layer and images."""

    microbatch: int
    layer: str
    images: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Part:
    """The tables of some microbatches, or only the heading of their file."""

    request: Request
    done: frozenset[int]  # its microbatches
    failed: tuple[Failed, ...]  # the images among them that could not be read
    nan: FirstNaN | None
    process: str  # that made it: shard, process id and machine
    replaces: str  # the stamp of the file that the store may replace; empty for none
    path: Path | None  # its file; None in the process that makes it
    tables: Tables | None  # None as long as only the heading has been read
    images: Mapping[int, str]  # index → path, of the images that stand in its tables

    @property
    def seen(self) -> int:
        """How many images of the data set its microbatches hold, broken ones too."""
        return self.request.images_in(self.done)

    @staticmethod
    def heading(path: Path) -> Part:
        """Read a part without its tables."""
        return _read(path, whole=False)

    def whole(self) -> Part:
        """This part with its tables, which are read from its file unless they are here."""
        return self if self.path is None else _read(self.path, whole=True)

    @property
    def whole_tables(self) -> Tables:
        """The tables, of a part that is whole."""
        assert self.tables is not None, "only the heading of this part has been read"
        return self.tables

    def to_bytes(self) -> bytes:
        """The content of its file."""
        tensors = {"images": torch.tensor(list(self.images), dtype=torch.int64)}
        paths = "\0".join(self.images.values()).encode("utf-8", "surrogateescape")
        tensors["paths"] = torch.from_numpy(np.frombuffer(paths, dtype=np.uint8).copy())
        tensors |= self.whole_tables.state()
        nan = self.nan and [self.nan.microbatch, self.nan.layer, list(self.nan.images)]
        texts = {
            "request": self.request.to_json(),
            "done": json.dumps(sorted(self.done)),
            "failed": json.dumps([[each.index, each.path, each.reason] for each in self.failed]),
            "nan": json.dumps(nan),
            "process": self.process,
            "replaces": self.replaces,
        }
        return save(tensors, {"format": FORMAT, "sha256": _sum(texts, tensors), **texts})


def done_by(parts: Iterable[Part]) -> set[int]:
    """The microbatches that are done by any of these parts."""
    return set().union(*(part.done for part in parts))


def apart(parts: Iterable[Part]) -> list[Part]:
    """The parts that together hold most microbatches, none of them twice.

    Counts add up, so that a microbatch may enter once. Two parts overlap only where two processes
    did the same work: a run was started twice, or again while the first still ran.
    """
    return _most(sorted(parts, key=lambda part: (-len(part.done), str(part.path))))


def _most(parts: list[Part]) -> list[Part]:
    left = [p for p in parts if any(p is not o and not p.done.isdisjoint(o.done) for o in parts)]
    free = [part for part in parts if not any(part is other for other in left)]
    if not left:
        return free
    first, *others = left
    taken = [first, *_most([other for other in others if other.done.isdisjoint(first.done)])]
    if len(left) > _TRIED:
        return free + taken
    return free + max(taken, _most(others), key=lambda some: sum(len(each.done) for each in some))


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
            raise ValueError("its checksum does not match its content")
        return _filled(part, tensors)
    except (ValueError, SafetensorError, RecursionError) as error:
        raise ValueError(
            f"{str(path)!r} holds no mined part ({error}); delete it, and what it held is mined "
            "again"
        ) from error


def _texts(start: bytes, file: Any, size: int) -> dict[str, str]:
    """The texts in the header of a safetensors file, once the header has been checked."""
    length = int.from_bytes(start, "little")
    if len(start) < 8 or length > min(size - 8, _LONGEST_HEADER):
        raise ValueError("it is cut short, or no safetensors file")
    header = json.loads(file.read(length))
    texts = header.pop("__metadata__", None) if isinstance(header, dict) else None
    if not isinstance(texts, dict) or texts.get("format") != FORMAT:
        named = texts.get("format") if isinstance(texts, dict) else None
        raise ValueError(f"its format is {named!r}, expected {FORMAT!r}")
    missing = [name for name in (*_TEXTS, "sha256") if not isinstance(texts.get(name), str)]
    if missing:
        raise ValueError(f"it lacks {', '.join(missing)}")
    try:
        end = max((tensor["data_offsets"][1] for tensor in header.values()), default=0)
        cut = end != size - 8 - length
    except (LookupError, TypeError) as error:
        raise ValueError("its header is no header of safetensors") from error
    if cut:
        raise ValueError("it is cut short, or longer than it says")
    return texts


def _heading(texts: Mapping[str, str]) -> Part:
    asked = Request.of_json(texts["request"])
    done, nan = json.loads(texts["done"]), json.loads(texts["nan"])
    if not isinstance(done, list) or not all(type(n) is int and 0 <= n < asked.total for n in done):
        raise ValueError(f"{str(done)[:80]!r} are no microbatches of 0 … {asked.total - 1}")
    if len(set(done)) < len(done):
        raise ValueError("it names a microbatch twice")
    try:
        failed = tuple(Failed(int(i), str(p), str(r)) for i, p, r in json.loads(texts["failed"]))
        first = None if nan is None else FirstNaN(int(nan[0]), str(nan[1]), tuple(nan[2]))
    except (LookupError, TypeError) as error:
        raise ValueError(f"its failed or NaN images cannot be read: {error}") from error
    process, replaces = texts["process"], texts["replaces"]
    return Part(asked, frozenset(done), failed, first, process, replaces, None, None, {})


def _filled(part: Part, tensors: Mapping[str, Tensor]) -> Part:
    """The part with its tables, when they are those of its heading."""
    tables = Tables.of_state(part.request, tensors)
    good, k = part.seen - len(part.failed), part.request.k
    for layer, top in tables.tops.items():
        if (top.k, top.images) != (k, good):
            raise ValueError(
                f"the table of {layer} counts {top.images} images at k={top.k}, expected {good} "
                f"at k={k}"
            )
    if not {"images", "paths"} <= tensors.keys():
        raise ValueError("it lacks the paths of its images")
    paths = tensors["paths"].numpy().tobytes().decode("utf-8", "surrogateescape")
    indices = tensors["images"].tolist()
    names = paths.split("\0") if indices else []
    if len(names) != len(indices):
        raise ValueError(f"it has {len(names)} paths for {len(indices)} images")
    return replace(part, tables=tables, images=dict(zip(indices, names, strict=True)))


def _sum(texts: Mapping[str, str], tensors: Mapping[str, Tensor]) -> str:
    """SHA-256 over all that a part says."""
    digest = hashlib.sha256("\0".join(texts[name] for name in _TEXTS).encode("utf-8", "replace"))
    for name in sorted(tensors):
        digest.update(f"{name} {tensors[name].dtype} {tuple(tensors[name].shape)}\n".encode())
        digest.update(tensors[name].contiguous().numpy().tobytes())
    return digest.hexdigest()
