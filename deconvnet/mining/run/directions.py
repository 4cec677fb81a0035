"""Directions in the channels of a layer, mined as if each were one more channel of it."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.graph.graph import Graph

SET = "given"
"""The name under which a store keeps the directions that were mined."""
MOST = 2**23  # numbers in all directions of a run: the heading of every part holds them


@dataclass(frozen=True)
class Directed:
    """What tables of directions are of, where others are of a node.

    Args:
        layer: in whose channels they are.
        name: of their set in the store.
    """

    layer: str
    name: str = SET

    def __str__(self) -> str:
        return f"{'' if self.name == SET else f'{self.name}, '}directions of {self.layer}"


Source = str | Directed
"""What tables are of: a node, or directions in the channels of a layer."""


@dataclass(frozen=True)
class Vectors:
    """Directions as bytes, which can be compared, written and hashed."""

    channels: int
    data: bytes

    @staticmethod
    def of(array: NDArray[np.float32]) -> Vectors:
        """Of (directions, channels) float32."""
        return Vectors(array.shape[1], np.ascontiguousarray(array, "<f4").tobytes())

    @property
    def array(self) -> NDArray[np.float32]:
        """(directions, channels) float32."""
        return np.frombuffer(self.data, "<f4").reshape(-1, self.channels).astype(np.float32)

    @property
    def tensor(self) -> Tensor:
        """(directions, channels) float32."""
        return torch.from_numpy(self.array)

    def __len__(self) -> int:
        return len(self.data) // (4 * self.channels)

    def __str__(self) -> str:
        return f"{len(self)} x {self.channels}, SHA-256 {hashlib.sha256(self.data).hexdigest()}"

    def to_json(self) -> list[object]:
        """For ``of_json``."""
        return [self.channels, base64.b64encode(self.data).decode("ascii")]

    @staticmethod
    def of_json(given: Any, channels: int) -> Vectors:
        """Read those of a layer with so many channels; ValueError if they are none."""
        wide, text = given
        data = base64.b64decode(text, validate=True)
        if wide != channels or not data or len(data) % (4 * channels):
            raise ValueError(f"directions of {wide} numbers, in a layer of {channels} channels")
        return Vectors(channels, data)


def checked_directions(
    directions: Mapping[str | nn.Module, Any] | None,
) -> dict[str | nn.Module, NDArray[np.float32]]:
    """What can be said of directions without a model; {layer: (directions, channels) float32}.

    Raises:
        TypeError: they are not {layer: array of real numbers}.
        ValueError: an array of another shape, or a direction that is not finite, or zero.
    """
    if directions is None:
        return {}
    if not isinstance(directions, Mapping):
        raise TypeError(
            f"directions of type {type(directions).__name__} were given, expected "
            '{layer: array (directions, channels)}: {"relu5": V}'
        )
    arrays = {layer: _numbers(layer, given) for layer, given in directions.items()}
    if (total := sum(array.size for array in arrays.values())) > MOST:
        raise ValueError(
            f"directions of {total:,} numbers were given, expected at most {MOST:,}; mine them in "
            "several stores"
        )
    return arrays


def _numbers(layer: str | nn.Module, given: Any) -> NDArray[np.float32]:
    name = layer if isinstance(layer, str) else type(layer).__name__
    array = np.asarray(given.detach().cpu().float() if isinstance(given, Tensor) else given)
    if array.dtype.kind not in "fiu":
        raise TypeError(
            f"directions of {name} of type {array.dtype} were given, expected real numbers"
        )
    if array.ndim not in (1, 2) or not array.size:
        raise ValueError(
            f"directions of {name} of shape {array.shape} were given, expected (directions, "
            "channels), or (channels,) for one"
        )
    with np.errstate(over="ignore"):
        array = np.atleast_2d(array).astype(np.float32)
    check_rows(name, torch.from_numpy(array))
    return array


def check_rows(name: str, vectors: Tensor) -> None:
    """Check that every direction (directions, channels) is finite, and not zero.

    Raises:
        ValueError: one is not; the message gives its number.
    """
    finite, some = vectors.isfinite().all(1), (vectors != 0).any(1)
    for good, what in (finite, "has numbers that are not finite"), (some, "is zero"):
        if not good.all():
            odd = (~good).nonzero().squeeze(1).tolist()
            more = f", and so {len(odd) - 1} others" if len(odd) > 1 else ""
            precision = str(vectors.dtype).removeprefix("torch.")
            raise ValueError(
                f"direction {odd[0]} of {name} {what}{more} (in {precision}): correct it, or "
                "leave it out"
            )


def directions_in(
    graph: Graph,
    given: Mapping[str | nn.Module, NDArray[np.float32]],
    channels: Mapping[str, int],
    *,
    dtype: torch.dtype,
) -> dict[str, Vectors]:
    """Checked directions by the names of the layers that are mined, in the order of these.

    Raises:
        KeyError: no such layer.
        ValueError: a layer that is not mined, or named twice; directions of another length; or
            one that is zero, or not finite, in the precision of the model.
    """
    found: dict[str, Vectors] = {}
    for layer, array in given.items():
        name = graph.find(layer)
        if name in found:
            raise ValueError(f"directions of {name} were given twice; give them in one array")
        if name not in channels:
            raise ValueError(
                f"directions of {name} were given, which is not among the layers to be mined: "
                f"{', '.join(channels)}; name it in layers="
            )
        if array.shape[1] != channels[name]:
            raise ValueError(
                f"directions of {name} of shape {array.shape} were given, expected (directions, "
                f"{channels[name]}): {name} has {channels[name]} channels"
            )
        check_rows(name, torch.from_numpy(array).to(dtype))
        found[name] = Vectors.of(array)
    return {name: found[name] for name in channels if name in found}
