"""What images a model takes, and whether these are such."""

from __future__ import annotations

import operator

import torch
from torch import Tensor, nn

from deconvnet.graph.frontends import Graphs, taken
from deconvnet.graph.graph import Graph
from deconvnet.graph.model_state import weights_of
from deconvnet.layers import Policies
from deconvnet.units import Unit

from .recording import Recording
from .seeds import SEEDS

_WRAPPED = (
    "; a model that takes a dictionary or a list is wrapped in a module whose forward takes the "
    "images alone and makes it of them"
)


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
    if images.layout != torch.strided or images.is_nested:
        raise ValueError(
            f"images of layout {images.layout} were given; expected a dense tensor (batch, "
            "channels, *size): use images.to_dense()"
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
    found = images.detach().to(device=device, dtype=dtype)
    return found.clone() if found.is_inference() else found


def _refuse_inference(model: nn.Module) -> None:
    for name, tensor in (*model.named_parameters(), *model.named_buffers()):
        if tensor.is_inference():
            raise ValueError(
                f"{name} of the model was made within torch.inference_mode(), where nothing has a "
                "derivative; make or load the model outside of it"
            )


def check_asked(
    layer: object,
    channel: object,
    *,
    position: object,
    units: object,
    seed: str,
    crop: bool,
) -> None:
    """See that what ``project`` was asked for fits together.

    Raises:
        TypeError: several layers or channels were given where one is expected.
        ValueError: arguments exclude each other.
    """
    if (units is None) == (layer is None) or (layer is None) != (channel is None):
        raise ValueError("give either layer= and channel=, or units=")
    if units is not None and position is not None:
        raise ValueError(
            f"position={position} was given beside units=; each unit has its own position"
        )
    if layer is not None and not isinstance(layer, (str, nn.Module)):
        raise TypeError(f"the layer was {layer!r}; give the name of one, or its module{_SEVERAL}")
    if channel is not None and not _index(channel):
        raise TypeError(f"the channel was {channel!r}; give the index of one{_SEVERAL}")
    if seed not in SEEDS:
        raise ValueError(f"the seed was {seed!r}; use one of {', '.join(SEEDS)}")
    if crop and seed == "map":
        raise ValueError("a whole map has no receptive field of its own: use crop=False")


def check_own(recording: Recording, policies: Policies, model: nn.Module) -> None:
    """See that a recording was made under these policies, and with the weights of this moment.

    Raises:
        ValueError: it was made by another DeconvNet, or before the model's weights changed.
    """
    if recording.policies is not policies:
        raise ValueError(
            f"this recording was made by another DeconvNet (its policy is "
            f"'{recording.policies.rectifier.name}', here it is '{policies.rectifier.name}'); "
            "record the images with this one"
        )
    was, now = dict(recording.weights), dict(weights_of(model))
    changed = [name for name in {**was, **now} if was.get(name) != now.get(name)]
    if changed:
        raise ValueError(
            f"{changed[0]} of {type(model).__name__} has changed since this recording was made, "
            "whose switches and activations are those of the old weights; record the images again"
        )


_SEVERAL = ", or for several units=[Unit(layer, channel), …]"


def _index(value: object) -> bool:
    try:
        operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        return False
    return not isinstance(value, bool)


def channels_of(graphs: Graphs) -> int:
    """How many channels the first convolution takes; 3 if there is none to ask."""
    for module in _modules(graphs):
        channels = getattr(module, "in_channels", None)
        if channels is not None:
            return int(channels)
    return 3


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


def named_in(unit: Unit, graph: Graph) -> Unit:
    """A unit by the name of the node that its layer stands for."""
    name = graph.find(checked_unit(unit).layer)
    return Unit.at(name, unit.channel, position=unit.position, image=unit.image)


def checked_unit(unit: Unit) -> Unit:
    """See that a unit is one.

    Raises:
        TypeError: it is something else.
    """
    if not isinstance(unit, Unit):
        raise TypeError(
            f"a unit was {unit!r}; give deconvnet.Unit(layer, channel, row, col), or "
            "Unit.parse('layer:channel@row,col')"
        )
    given = (unit.channel, unit.image, *(unit.position or ()))
    if not all(map(_index, given)):
        raise TypeError(f"a unit was {unit!r}; its numbers are integers, one each{_SEVERAL}")
    return unit
