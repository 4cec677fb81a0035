"""Units projected by this toolkit and by captum, and a check that both give the same maps."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet, Projection, Unit

TOLERANCE = 1e-4  # float32, relative to the greatest value of a unit's map
EXACT = 1e-8  # float64
TOGETHER = 9  # units of one captum call: those of one channel

Peer = Callable[[Any, nn.Module, Tensor, Sequence[Unit]], Tensor]


def ours(net: DeconvNet, images: Tensor, units: Sequence[Unit]) -> list[Projection]:
    """This toolkit, by its public call: each unit's projection, cropped to its receptive field."""
    projections = net.project(images, units=units, seed="one", crop=True)
    assert isinstance(projections, list)
    return projections


def captum(row: Any, model: nn.Module, images: Tensor, units: Sequence[Unit]) -> Tensor:
    """The toolkit captum (Kokhlikyan 2020) at its best: units of a channel share a call.

    The row has ``rule``, and ``module``, whose output holds the units, channel by channel. The maps
    are (units, channels, *size) for images (batch, channels, *size).
    """
    from captum.attr import NeuronDeconvolution, NeuronGuidedBackprop

    make = {"deconvnet": NeuronDeconvolution, "guided": NeuronGuidedBackprop}[row.rule]
    method, maps = make(model, model.get_submodule(row.module)), []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the same at every call
        for some in _split(units):
            owners = torch.tensor([unit.image for unit in some], device=images.device)
            maps.append(method.attribute(images[owners], neuron_selector=_selector(some)))
    return torch.cat(maps)


def _split(units: Sequence[Unit]) -> Iterator[Sequence[Unit]]:
    return (units[start : start + TOGETHER] for start in range(0, len(units), TOGETHER))


def _selector(units: Sequence[Unit]) -> Callable[[Tensor], Tensor]:
    """Takes each unit's value out of the layer's maps, (len(units), channels, rows, columns)."""
    index = tuple(torch.tensor([[i, u.channel, u.row, u.col] for i, u in enumerate(units)]).T)
    return lambda maps: maps[tuple(part.to(maps.device) for part in index)]


def compare(
    row: Any, model: nn.Module, images: Tensor, *, units: Sequence[Unit], peer: Peer = captum
) -> dict[str, float | int]:
    """Run both toolkits and compare their maps.

    A pooling window may hold two values that float32 cannot tell apart; which of them is the
    maximum then depends on the order of a sum, and the signal goes to a neighbouring pixel. So
    units that differ in float32 are compared again in float64.

    Returns:
        "error": the greatest of the units that agree in float32; "tied": how many were compared in
        float64; "exact": the greatest error of those.

    Raises:
        ValueError: a unit differs in float64 too.
    """
    with torch.backends.cudnn.flags(allow_tf32=False):  # its mantissa is that of half precision
        single = _errors(row, model, images, units=units, peer=peer)
    tied = [unit for unit, error in zip(units, single, strict=True) if not error < TOLERANCE]
    double: list[float] = []
    exact = copy.deepcopy(model).double() if tied else model
    for some in _split(tied):
        owners = sorted({unit.image for unit in some})
        moved = [replace(unit, image=owners.index(unit.image)) for unit in some]
        double += _errors(row, exact, images[owners].double(), units=moved, peer=peer)
    for unit, error in zip(tied, double, strict=True):
        if not error < EXACT:
            raise ValueError(
                f"{row.key}: the maps of unit {unit} in image {unit.image} differ by {error:.1e} "
                f"of the greatest value in float64; expected less than {EXACT:g}. Times of "
                "different results say nothing: find out which map is wrong"
            )
    agreed = max((error for error in single if error < TOLERANCE), default=0.0)
    return {"error": agreed, "tied": len(tied), "exact": max(double, default=0.0)}


def _errors(
    row: Any, model: nn.Module, images: Tensor, *, units: Sequence[Unit], peer: Peer
) -> list[float]:
    """Of each unit the greatest difference, relative to the greatest value of the peer's map.

    Outside of a unit's receptive field our map is zero. A peer's map that is zero everywhere
    proves nothing: its error is NaN.
    """
    projections, errors = ours(DeconvNet(model, row.rule), images, units), []
    for projection, whole in zip(projections, peer(row, model, images, units), strict=True):
        full = torch.zeros_like(whole)
        full[(slice(None), *projection.box.slices)] = projection.pixels.to(whole)
        errors.append(float((full - whole).abs().max() / whole.abs().max()))
    return errors
