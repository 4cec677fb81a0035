"""Validate images and arguments; resolve layers and units to names of nodes, before any work."""

from __future__ import annotations

import operator
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.arguments import Brief, listed
from deconvnet.graph.frontends import Graphs, taken
from deconvnet.graph.graph import Graph
from deconvnet.graph.model_state import weights_of
from deconvnet.graph.observed_hooks import hooks_in
from deconvnet.layers import Policies
from deconvnet.units import Unit

from .geometry import Geometry
from .memory import Memory
from .readings import Readings
from .recording import Recording
from .seeds import SEEDS
from .way import Way, directions_of, gates, places

STRATEGIES = ("cone", "shared")
_SEVERAL = ", or for several units=[Unit(layer, channel), …]"


@dataclass(frozen=True, eq=False)
class Request(Brief):
    """What is to be projected: images as the model takes them, units by the names of nodes."""

    images: Tensor  # (batch, channels, *size); of no content where they were recorded
    recording: Recording | None  # of the images, if that was given, or made for want of a geometry
    graph: Graph  # the model, for these images
    geometry: Geometry  # of the images, up to the layers of the units
    units: list[Unit]  # all of them exist; their positions may be left open
    way: Way  # of their signals
    strategy: str | None  # "cone" or "shared"; None for the cheaper one
    memory: Memory  # of the geometry


def resolve(
    images: Tensor | Recording,
    layer: str | nn.Module | None = None,
    channel: int | None = None,
    *,
    readings: Readings,
    policies: Policies,
    position: tuple[int, ...] | None = None,
    units: Unit | Sequence[Unit] | None = None,
    seed: str = "activation",
    crop: bool = False,
    strategy: str | None = None,
    direction: Any = None,
    through: Mapping[str | nn.Module, int | Sequence[int]] = MappingProxyType({}),
    at: str | nn.Module | Sequence[str | nn.Module] | None = (),
) -> Request:
    """Validate what ``DeconvNet.project`` or ``signals`` was given; resolve names, once.

    ``at``: where the signals are taken; () for the images, None for wherever they come.

    Raises:
        KeyError, IndexError: no such layer, channel, position or image.
        TypeError: several layers or channels were given where one is expected; or no units.
        ValueError: the images do not fit the model, or the arguments each other.
    """
    parts = (layer is not None, (channel is not None) + (units is None and direction is not None))
    if parts != ((0, 0) if units is not None else (1, 1)):
        raise ValueError("give either layer= and channel=, or layer= and direction=, or units=")
    if units is not None and position is not None:
        raise ValueError(
            f"position={position} was given beside units=; each unit has its own position"
        )
    if layer is not None and not isinstance(layer, (str, nn.Module)):
        raise TypeError(f"the layer was {layer!r}; give the name of one, or its module{_SEVERAL}")
    if channel is not None and not _index(channel):
        raise TypeError(f"the channel was {channel!r}; give the index of one{_SEVERAL}")
    if crop and seed == "map":
        raise ValueError("a whole map has no receptive field of its own: use crop=False")
    for name, word, known in ("seed", seed, SEEDS), ("strategy", strategy, (*STRATEGIES, None)):
        if word not in known:
            raise ValueError(f"the {name} was {word!r}; use one of {', '.join(map(str, known))}")
    recording = images if isinstance(images, Recording) else None
    if isinstance(images, Recording):
        _check_own(images, policies, readings)
        recording = images.under(policies)
        images = images.empty.expand(images.sizes[images.input])
    else:
        images = accepted(images, readings.graphs)
    wanted: list[Any] = [layer]
    if units is None:
        one = Unit.at(wanted[0], channel or 0, position=position)
        units = [replace(one, image=image) for image in range(len(images))]
    else:
        units = [_checked(unit) for unit in listed(units, Unit)]
        wanted = list(dict.fromkeys(unit.layer for unit in units))
    resolved = readings.resolved(images, wanted, recording, policies=policies)
    graph, names, geometry = resolved.graph, resolved.names, resolved.geometry
    name_of = dict(zip(wanted, names, strict=True))
    units = [
        unit if unit.layer == (name := name_of[unit.layer]) else replace(unit, layer=name)
        for unit in units
    ]
    recording = geometry if isinstance(geometry, Recording) else None
    for name in names if recording is not None else ():
        recording[name]  # type: ignore[index]  # raises where it was not recorded
    vectors = None if direction is None else directions_of(geometry, names, direction)
    for unit in units:
        shape = (len(images), *geometry.sizes[unit.layer][1:])
        _check_place(unit, shape if vectors is None else (shape[0], len(vectors), *shape[2:]))
    taken = (graph.input,) if at == () else places(graph, geometry, names, at)
    gated = gates(graph, geometry, names, through)
    straight = not gated and set(taken) <= {graph.input}
    way = Way(taken, seed, vectors, gated, strict=at is not None, straight=straight)
    return Request(images, recording, graph, geometry, units, way, strategy, resolved.memory)


def _checked(unit: Unit) -> Unit:
    if not isinstance(unit, Unit):
        raise TypeError(
            f"a unit was {unit!r}; give deconvnet.Unit(layer, channel, row, col), or "
            "Unit.parse('layer:channel@row,col')"
        )
    given = (unit.channel, unit.image, *(unit.position or ()))
    if not all(map(_index, given)):
        raise TypeError(f"a unit was {unit!r}; its numbers are integers, one each{_SEVERAL}")
    return unit


def _index(value: object) -> bool:
    if type(value) is int:
        return True
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def _check_own(recording: Recording, policies: Policies, readings: Readings) -> None:
    """Refuse a recording made of another graph, or before weights or hooks changed."""
    model = readings.model
    if recording.source is not readings:
        raise ValueError(
            f"this recording was made by another DeconvNet, under '{recording.policies}' (this one "
            f"is under '{policies}'); record the images with this one, or use its with_rectifier"
        )
    was, now = dict(recording.weights), dict(weights_of(model))
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if changed:
        raise ValueError(
            f"{changed[0]} of {type(model).__name__} has changed since this recording was made, "
            "whose switches and activations are those of the old weights; record the images again"
        )
    hooks = hooks_in(model)
    came = [key for key, may_change in hooks.items() if may_change and key not in recording.hooks]
    went = [key for key, may_change in recording.hooks.items() if may_change and key not in hooks]
    done = [(path, "registered on") for path, _ in came]
    done += [(path, "removed from") for path, _ in went]
    if done:
        path, word = done[0]
        raise ValueError(
            f"a hook that may change values was {word} {path or 'the model itself'} since this "
            "recording was made, which is of the model as it was; record the images again"
        )


def _check_place(unit: Unit, shape: Sequence[int]) -> None:
    """Refuse a unit that does not exist in a layer of this (batch, channels, *size)."""
    (count, channels, *size), position = shape, unit.position
    if not 0 <= unit.image < count:
        raise IndexError(f"there is no image {unit.image}; the batch has {_range(count)}")
    if not 0 <= unit.channel < channels:
        raise IndexError(
            f"{unit.layer} has no channel {unit.channel}; its channels are {_range(channels)}"
        )
    inside = position and [0 <= p < n for p, n in zip(position, size, strict=False)]
    if position is not None and (len(position) != len(size) or not all(inside or ())):
        maps = " x ".join(map(str, size))
        expected = f"its maps are {maps}" if size else "it has no positions"
        raise IndexError(f"{unit.layer} has no position {position}; {expected}")


def _range(count: int) -> str:
    return f"0 to {count - 1}" if count else "none"


def accepted(images: Tensor, graphs: Graphs) -> Tensor:
    """Validate images and move them to the model's device and dtype.

    Raises:
        ValueError: they have no batch axis, or are not preprocessed.
    """
    if images.layout != torch.strided or images.is_nested:
        raise ValueError(
            f"images of layout {images.layout} were given; expected a dense tensor (batch, "
            "channels, *size): use images.to_dense()"
        )
    if images.ndim < 3 or (images.ndim == 3 and graphs.axes >= 2):
        raise ValueError(
            f"images of shape {tuple(images.shape)} have no batch axis; expected "
            "(batch, channels, *size): use images[None] for a single one"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images of type {images.dtype} are not preprocessed; the model takes floats, "
            "normalised as it was trained (see deconvnet.Preprocessing)"
        )
    dtype, device = taken(graphs.model, images)
    moved = images.detach().to(device=device, dtype=dtype)
    return moved.clone() if moved.is_inference() else moved


def size_of(given: Sequence[int]) -> tuple[int, ...]:
    """The (channels, *size) of an image.

    Raises:
        ValueError: it is something else than positive integers.
    """
    numbers = list(given) if isinstance(given, Iterable) else []
    if not numbers or not all(_index(n) and n > 0 for n in numbers):
        raise ValueError(
            f"the size of an image was {reprlib.repr(given)}; give (channels, *size), all positive"
        )
    return tuple(map(operator.index, numbers))
