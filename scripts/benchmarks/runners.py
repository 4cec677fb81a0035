"""The toolkits that are timed, what each returns, and that they return the same."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet, Projection, Unit

TOLERANCE = 1e-4  # float32, relative to the greatest value of a unit's map
EXACT = 1e-8  # float64
TOGETHER = 9  # images that the peer is given in one call: those of one channel

Ours = list[Projection]


def ours(net: DeconvNet, images: Tensor, units: Sequence[Unit]) -> Ours:
    """This toolkit, by its public call: each unit's projection at its receptive field."""
    found = net.project(images, units=units, seed="one", crop=True)
    assert isinstance(found, list)
    return found


def captum(
    model: nn.Module,
    module: str,
    images: Tensor,
    *,
    units: Sequence[Unit],
    rule: str,
    together: int = TOGETHER,
) -> Tensor:
    """The toolkit captum (Kokhlikyan 2020) at its best: units of a channel share a call.

    Args:
        model: the network.
        module: the module whose output holds the units.
        images: (batch, channels, *size).
        units: of these images, channel by channel.
        rule: "deconvnet" or "guided".
        together: units in one call, each on its own image and at its own position.

    Returns:
        (len(units), channels, *size).
    """
    from captum.attr import NeuronDeconvolution, NeuronGuidedBackprop

    make = {"deconvnet": NeuronDeconvolution, "guided": NeuronGuidedBackprop}[rule]
    asked, maps = make(model, model.get_submodule(module)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same words at every call
        for start in range(0, len(units), together):
            some = units[start : start + together]
            owners = torch.tensor([unit.image for unit in some], device=images.device)
            maps.append(asked.attribute(images[owners], neuron_selector=_selector(some)))
    return torch.cat(maps)


def _selector(units: Sequence[Unit]) -> Callable[[Tensor], Tensor]:
    """Takes each unit's value out of the layer's maps, (len(units), channels, rows, columns)."""
    places = torch.tensor([[i, u.channel, u.row, u.col] for i, u in enumerate(units)]).T

    def select(maps: Tensor) -> Tensor:
        return maps[tuple(places.to(maps.device))]

    return select


def captum_of(case: Any, model: nn.Module, images: Tensor, units: Sequence[Unit]) -> Tensor:
    """``captum`` for a row of the benchmark."""
    return captum(model, case.module, images, units=units, rule=case.rule)


Peer = Callable[[Any, nn.Module, Tensor, Sequence[Unit]], Tensor]


def forward(model: nn.Module, images: Tensor) -> Tensor:
    """The plain forward pass."""
    with torch.no_grad():
        scores: Tensor = model(images)
    return scores


def multiply_adds(model: nn.Module, images: Tensor) -> int:
    """How many the filters of a plain forward pass of these images take, by their shapes."""
    total = 0

    def count(module: nn.Module, _: object, output: Tensor) -> None:
        nonlocal total
        assert isinstance(module, (nn.Conv2d, nn.Linear))
        total += output.numel() * module.weight[0].numel()

    counted = [m for m in model.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    handles = [module.register_forward_hook(count) for module in counted]
    try:
        forward(model, images[:1])
    finally:
        for handle in handles:
            handle.remove()
    return total * len(images)


def errors(found: Ours, maps: Tensor) -> list[float]:
    """Of each unit the greatest difference, relative to the greatest value of the peer's map.

    Outside of a unit's receptive field ours is zero, and the peer's map is held to that. A map
    that is zero everywhere would prove nothing: its error is not a number.
    """
    told = []
    for projection, whole in zip(found, maps, strict=True):
        full = torch.zeros_like(whole)
        full[(slice(None), *projection.box.slices)] = projection.pixels.to(whole)
        told.append(float((full - whole).abs().max() / whole.abs().max()))
    return told


def compare(
    case: Any,
    model: nn.Module,
    images: Tensor,
    *,
    units: Sequence[Unit],
    peer: Peer = captum_of,
) -> dict[str, float | int]:
    """Run both, and hold their results against each other.

    A pooling window may hold two values that differ by less than float32 tells apart; which of
    them is its maximum then depends on the order of a sum, and the signal goes one pixel to the
    side. So a unit that differs in float32 is asked for again by both in float64.

    Returns:
        "error": the greatest of the units that agree in float32; "tied": how many were settled in
        float64; "exact": the greatest error of those.

    Raises:
        ValueError: a unit differs in float64 too.
    """
    net = DeconvNet(model, case.rule)
    with torch.backends.cudnn.flags(allow_tf32=False):  # whose mantissa is that of half precision
        single = errors(ours(net, images, units), peer(case, model, images, units))
    doubtful = [unit for unit, error in zip(units, single, strict=True) if not error < TOLERANCE]
    settled = [error for error in single if error < TOLERANCE]
    double = _in_float64(case, model, images, units=doubtful, peer=peer) if doubtful else []
    for unit, error in zip(doubtful, double, strict=True):
        if not error < EXACT:
            raise ValueError(
                f"{case.key}: the results of unit {unit} in image {unit.image} differ by "
                f"{error:.1e} of the greatest value, in float64; expected less than {EXACT:g}: "
                "times of different results say nothing, find out which is wrong"
            )
    return {
        "error": max(settled, default=0.0),
        "tied": len(doubtful),
        "exact": max(double, default=0.0),
    }


def _in_float64(
    case: Any, model: nn.Module, images: Tensor, *, units: Sequence[Unit], peer: Peer
) -> list[float]:
    """The errors of these units in double precision, one channel's images at a time."""
    exact, told = copy.deepcopy(model).double(), []
    net = DeconvNet(exact, case.rule)
    for start in range(0, len(units), TOGETHER):
        some = units[start : start + TOGETHER]
        owners = sorted({unit.image for unit in some})
        moved = [_on(unit, owners.index(unit.image)) for unit in some]
        pixels = images[owners].double()
        told += errors(ours(net, pixels, moved), peer(case, exact, pixels, moved))
    return told


def _on(unit: Unit, image: int) -> Unit:
    return Unit(unit.layer, unit.channel, unit.row, unit.col, image)
