"""Requests are resolved: images validated, layers named, units found, before any long work."""

from __future__ import annotations

import operator
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from deconvnet.arguments import listed
from deconvnet.graph.frontends import Graphs, taken
from deconvnet.graph.graph import Graph
from deconvnet.layers import Policies
from deconvnet.units import Unit

from .geometry import Geometry
from .readings import Readings
from .recording import Recording
from .seeds import SEEDS

STRATEGIES = ("cone", "shared")
_WRAPPED = (
    "; a model that takes a dictionary or a list is wrapped in a module whose forward takes the "
    "images alone and makes it of them"
)
_SEVERAL = ", or for several units=[Unit(layer, channel), …]"


@dataclass(frozen=True)
class Request:
    """What ``DeconvNet.project`` was asked for, as it was written.

    Args:
        layer: node name or module, with a channel; None where units are given.
        channel: index of the feature map.
        position: in the map.
        units: one or several; None where a layer is given.
        seed: "activation", "one" or "map".
        crop: cut projections at the receptive fields.
        strategy: "cone" or "shared"; None for the cheaper one.

    Raises:
        TypeError: several layers or channels were given where one is expected.
        ValueError: arguments exclude each other, or are none of the words that are known.
    """

    layer: str | nn.Module | None = None
    channel: int | None = None
    position: tuple[int, ...] | None = None
    units: Unit | Sequence[Unit] | None = None
    seed: str = "activation"
    crop: bool = False
    strategy: str | None = None

    def __post_init__(self) -> None:
        layer, channel, units = self.layer, self.channel, self.units
        if (units is None) == (layer is None) or (layer is None) != (channel is None):
            raise ValueError("give either layer= and channel=, or units=")
        if units is not None and self.position is not None:
            raise ValueError(
                f"position={self.position} was given beside units=; each unit has its own position"
            )
        if layer is not None and not isinstance(layer, (str, nn.Module)):
            raise TypeError(
                f"the layer was {layer!r}; give the name of one, or its module{_SEVERAL}"
            )
        if channel is not None and not _index(channel):
            raise TypeError(f"the channel was {channel!r}; give the index of one{_SEVERAL}")
        if self.seed not in SEEDS:
            raise ValueError(f"the seed was {self.seed!r}; use one of {', '.join(SEEDS)}")
        if self.crop and self.seed == "map":
            raise ValueError("a whole map has no receptive field of its own: use crop=False")
        if self.strategy is not None and self.strategy not in STRATEGIES:
            raise ValueError(
                f"the strategy was {self.strategy!r}; use one of {', '.join(STRATEGIES)}, or None "
                "to choose"
            )


@dataclass(frozen=True, eq=False)
class Resolved:
    """A request whose images are as the model takes them, and whose names are those of nodes.

    Args:
        images: (batch, channels, *size); of no content where they were recorded.
        recording: of the images, if that was given.
        graph: the model, for these images.
        geometry: of the images, up to the layers of the units.
        units: by the names of nodes; all of them exist.
    """

    images: Tensor
    recording: Recording | None
    graph: Graph
    geometry: Geometry
    units: list[Unit]


def resolved(
    request: Request, images: Tensor | Recording, *, readings: Readings, policies: Policies
) -> Resolved:
    """Resolve names and positions, once.

    Args:
        request: what was asked for.
        images: (batch, channels, *size), or a recording of them.
        readings: of the model.
        policies: of the mirror.

    Raises:
        KeyError, IndexError: no such layer, channel, position or image.
        TypeError, ValueError: the images do not fit the model, or a unit is none.
    """
    recording = images if isinstance(images, Recording) else None
    if isinstance(images, Recording):
        _check_own(images, policies)
        images = images.empty.expand(images.sizes[images.input])
    else:
        images = accepted(images, readings.graphs)
    units = _units_of(request, len(images))
    wanted: Any = [request.layer] if request.units is None else [unit.layer for unit in units]
    layers = list(dict.fromkeys(wanted))
    graph, names, geometry = readings.resolved(images, layers, recording)
    name_of = dict(zip(layers, names, strict=True))
    units = [unit.moved(unit.position or (), name_of[unit.layer]) for unit in units]
    if recording is not None:
        for name in names:
            recording[name]  # raises where it was not recorded
    for unit in units:
        _check_place(unit, (len(images), *geometry.sizes[unit.layer][1:]))
    return Resolved(images, recording, graph, geometry, units)


def _units_of(request: Request, images: int) -> list[Unit]:
    """The units as they were asked for: one of each image, where a layer was given."""
    if request.units is not None:
        return [_checked(unit) for unit in listed(request.units, Unit)]
    layer, channel = request.layer, request.channel  # type: Any, Any
    unit = Unit.at(layer, channel, position=request.position)
    return [replace(unit, image=image) for image in range(images)]


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
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def _check_own(recording: Recording, policies: Policies) -> None:
    """See that a recording was made under these policies: others remember other things."""
    if recording.policies is not policies:
        raise ValueError(
            f"this recording was made by another DeconvNet (its policy is "
            f"'{recording.policies.rectifier.name}', here it is '{policies.rectifier.name}'); "
            "record the images with this one"
        )


def _check_place(unit: Unit, shape: Sequence[int]) -> None:
    """See that a unit is there; its position may be left open.

    Args:
        unit: by the name of a node.
        shape: (batch, channels, *size) of its layer.
    """
    count, channels, *size = shape
    if not 0 <= unit.image < count:
        raise IndexError(f"there is no image {unit.image}; the batch has {_range(count)}")
    if not 0 <= unit.channel < channels:
        raise IndexError(
            f"{unit.layer} has no channel {unit.channel}; its channels are {_range(channels)}"
        )
    position = unit.position
    if position is None:
        return
    if len(position) != len(size) or any(
        not 0 <= p < n for p, n in zip(position, size, strict=True)
    ):
        maps = " x ".join(map(str, size))
        expected = f"its maps are {maps}" if size else "it has no positions"
        raise IndexError(f"{unit.layer} has no position {position}; {expected}")


def _range(count: int) -> str:
    return f"0 to {count - 1}" if count else "none"


def accepted(images: Tensor, graphs: Graphs) -> Tensor:
    """The images on the model's device and in its precision.

    Raises:
        TypeError: they are no tensor.
        ValueError: they have no batch axis, or are not preprocessed.
    """
    if not isinstance(images, Tensor):
        inside = isinstance(images, (dict, list, tuple))
        raise TypeError(
            f"images were {type(images).__name__}; give a tensor (batch, channels, *size), "
            "for photographs as deconvnet.Preprocessing makes it" + (_WRAPPED if inside else "")
        )
    if images.ndim < 3 or (images.ndim == 3 and axes_of(graphs) >= 2):
        raise ValueError(
            f"images of shape {tuple(images.shape)} have no batch axis; expected "
            "(batch, channels, *size): use images[None] for a single one"
        )
    if not images.is_floating_point():
        raise ValueError(
            f"images of type {images.dtype} are not preprocessed; the model takes floats, "
            "normalised as it was trained (see deconvnet.Preprocessing)"
        )
    _refuse_inference(graphs.model)
    dtype, device = taken(graphs.model, images)
    moved = images.detach().to(device=device, dtype=dtype)
    return moved.clone() if moved.is_inference() else moved


def _refuse_inference(model: nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise ValueError(
                f"{name} of the model was made within torch.inference_mode(), where nothing has a "
                "derivative; make or load the model outside of it"
            )


def usual_size(graphs: Graphs) -> tuple[int, ...]:
    """(channels, 224, 224), or (channels, 224) for signals; 3 channels where no layer tells.

    Raises:
        ValueError: the images have three axes, of which none can be guessed.
    """
    axes, known = axes_of(graphs), (getattr(m, "in_channels", None) for m in _modules(graphs))
    channels = next((int(n) for n in known if n is not None), 3)
    if axes > 2:
        raise ValueError(
            "no size of images was given for the layers, and 224 x 224 is none of a model of "
            f"{axes} axes; give DeconvNet(model, input_size=({channels}, depth, rows, columns))"
        )
    return (channels, *[224] * axes)


def axes_of(graphs: Graphs) -> int:
    """Number of spatial axes, by the first operation that says; 2 if none does."""
    graph = graphs.any_size
    kinds = [n.kind for n in graph] if graph else [type(m).__name__ for m in _modules(graphs)]
    return next((axes for kind in kinds for axes in (1, 2, 3) if kind.endswith(f"{axes}d")), 2)


def _modules(graphs: Graphs) -> list[nn.Module]:
    """The modules in the order in which they run, or were made if that is not known yet."""
    if graphs.any_size is None:
        return list(graphs.model.modules())
    return [node.module for node in graphs.any_size if node.module is not None]
