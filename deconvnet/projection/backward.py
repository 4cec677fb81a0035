"""Signals run backward through the mirrored network, on whole maps or on the windows of a cone."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from deconvnet.layers import MirroredLayer, in_place
from deconvnet.layers.crop import Placed

from .cone import Cone
from .geometry import Step
from .windows import placed


def backward(
    steps: Sequence[Step],
    seeds: Mapping[str, Tensor],
    *,
    rows: Tensor | None = None,
    cone: Cone | None = None,
    channels: Tensor | None = None,
    recorded: bool = False,
    ends: list[str] | None = None,
    through: Mapping[str, Tensor] = MappingProxyType({}),
    at: Collection[str] = (),
) -> dict[str, Any]:
    """Carry signals from some layers to the images, or no further than to nodes below.

    Args:
        steps: of a recording, in forward order.
        seeds: {layer: (units, channels, *size) the signal that starts there}, on the cone's
            windows if there is one.
        rows: (units,) the image of each unit; None if unit ``i`` is of image ``i``.
        cone: where the units look; None for whole maps.
        channels: (units,) the only channel of each seed that is not zero, if there is one.
        recorded: the steps that the cone has windows of were recorded on whole maps.
        ends: the nodes are added to it that a signal reaches and does not leave.
        through: {node: (channels,) booleans}: nothing goes on but what passes these channels, so
            that what goes round the node is dropped as well.
        at: nodes whose signals are returned; the way ends where all of them are known.

    Returns:
        {node: signal} of the nodes ``at``, and of those below all steps that were taken: of the
        images, if any signal arrives. A signal is that of the node's value, its output.
    """
    signals: dict[str, Any] = dict(seeds)
    kept: dict[str, Any] = {}
    new: set[str] = set()  # whose signal is a tensor that nothing else holds
    alone = {} if channels is None else dict.fromkeys(seeds, channels)  # signals of one channel
    with torch.no_grad():
        for step in reversed(steps):
            signal = _whole(signals.pop(step.name, None))
            if step.name in through:
                signals.clear()  # what is left has gone round the node
                new.clear()
            if signal is None:
                continue
            if step.name in through:
                signal = _passed(signal, through[step.name])
            if step.name in at:
                kept[step.name] = signal
                new.discard(step.name)
                if len(kept) == len(at):
                    break
            lone = alone.pop(step.name, None)
            own = step.name in new and lone is None
            if cone is not None and step.name in cone.seen:
                parts = _on_windows(step, signal, cone, recorded, lone=lone, own=own)
            else:
                record = step.record if rows is None else step.record.take(rows)
                parts = _mirror(step, signal, record, lone=lone, own=own)
            sent = in_place.sends_new(step.layer, own)
            if ends is not None and all(part is None for part in parts):
                ends.append(step.name)
            for source, part in zip(step.sources, parts, strict=True):
                if source is None or part is None:
                    continue
                if lone is not None and step.layer.channelwise and source not in signals:
                    alone[source] = lone
                else:
                    alone.pop(source, None)
                there = signals.get(source)
                if there is not None:
                    part = _summed(there, part, over_first=source in new, over_second=sent)
                signals[source] = part
                if sent or there is not None:
                    new.add(source)
    return {node: _whole(signal) for node, signal in signals.items()} | kept


def _whole(signal: Any) -> Any:
    """A signal on whole windows of its node."""
    return signal.whole if isinstance(signal, Placed) else signal


def _passed(signal: Tensor, gate: Tensor) -> Tensor:
    """The signal (batch, channels, ...) in the channels of a gate; zero in the others."""
    shape = (1, -1, *[1] * (signal.ndim - 2))
    return torch.where(gate.to(signal.device).view(shape), signal, torch.zeros_like(signal))


def _mirror(
    step: Step, signal: Any, record: Any, *, lone: Tensor | None, own: bool
) -> tuple[Any, ...]:
    """One step down; a signal of one channel needs no filter but its own.

    ``own``: the signal may be written over.
    """
    if not step.state.autocast:
        return _mirrored(step.layer, signal, record, lone, own)
    with step.state.entered():
        parts = _mirrored(step.layer, signal, record, lone, own)
    return tuple(
        part.to(dtype) if isinstance(part, Tensor) and dtype is not None else part
        for part, dtype in zip(parts, step.dtypes or [None] * len(parts), strict=True)
    )


def _mirrored(
    layer: MirroredLayer, signal: Any, record: Any, lone: Tensor | None, own: bool
) -> tuple[Any, ...]:
    if lone is not None:
        return layer.mirror_channel(signal, lone, record)
    return in_place.mirrored(layer, signal, record) if own else layer.mirror(signal, record)


def _on_windows(
    step: Step, signal: Tensor, cone: Cone, recorded: bool, *, lone: Tensor | None, own: bool
) -> tuple[Tensor | Placed | None, ...]:
    """One step down on windows; each signal lies in the windows that its source holds."""
    crops, known, held = cone.seen[step.name], step, cone.held[step.name]
    if held.leaves and cone.looks_around(step.name):
        signal = held.filled(signal, 0.0, in_place=own)
    if recorded:
        inside = step.layer.inside(step.record)
        assert inside is not None, "the cone has windows of this node"
        kept = step.record.within(held, crops)
        known = replace(step, layer=inside.layer, record=kept)
    return placed(cone, step.name, _mirror(known, signal, known.record, lone=lone, own=own))


def _summed(one: Any, other: Any, *, over_first: bool = False, over_second: bool = False) -> Any:
    """The sum of signals that meet at a node; of a tuple's entries, entry by entry.

    ``over_first``, ``over_second``: the first, the second may be written over.
    """
    if one is None or other is None:
        return other if one is None else one
    if over_first and isinstance(one, Tensor) and isinstance(other, Placed):
        return other.plus(one, over=one.dtype == other.signal.dtype)
    other = _whole(other)
    if isinstance(one, Placed):
        return one.plus(other, over=over_second and one.signal.dtype == other.dtype)
    if isinstance(one, Tensor):
        alike = one.shape == other.shape and one.dtype == other.dtype
        if alike and over_first:
            return one.add_(other)
        return other.add_(one) if alike and over_second else one + other
    if isinstance(one, dict):
        return {key: _summed(one[key], other[key]) for key in one}
    return tuple(_summed(a, b) for a, b in zip(one, other, strict=True))
