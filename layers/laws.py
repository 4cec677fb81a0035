"""The laws of a mirrored layer: one run of it beside autograd's own derivative of the same run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .base import Inside, MirroredLayer
from .crop import Crop
from .window import whole

UNITS, LARGEST = 8, 4  # crops that are tried at a time, and their longest side
ANYTHING = 3.0  # stands outside of the map for layers that say it makes no difference


class LawBroken(AssertionError):
    """A layer breaks a law; the message names the law and the place of the greatest difference."""


class Trial:
    """One run of a layer, and autograd's derivative of the same run.

    Args:
        layer: under its policies.
        inputs: float64 tensors, or containers of them.
        forward: what autograd runs to have a derivative of its own; None for ``record``.
        tolerance: of every comparison, relative to the greatest value expected (at least 1).
        seed: of the random signals.
    """

    def __init__(
        self,
        layer: MirroredLayer,
        inputs: tuple[Any, ...],
        *,
        forward: Callable[..., Any] | None,
        tolerance: float,
        seed: int,
    ) -> None:
        self.layer, self.tolerance = layer, tolerance
        self.generator = torch.Generator().manual_seed(seed)
        leaves = pytree.tree_map(lambda x: x.detach().clone().requires_grad_(), inputs)
        with torch.enable_grad():
            expected = (forward or (lambda *x: layer.record(*x)[0]))(*leaves)
        self.given = inputs
        self.inputs: list[Tensor] = pytree.tree_leaves(inputs)
        self.leaves: list[Tensor] = pytree.tree_leaves(leaves)
        self.outputs: list[Tensor] = [x for x in pytree.tree_leaves(expected) if carries(x)]
        if not any(x.requires_grad for x in self.outputs):
            raise ValueError(
                f"the output of {self.name} has no derivative to compare with; pass forward=, the "
                "same operation in plain torch"
            )
        before = [x.clone() for x in self.inputs]
        with torch.no_grad():
            self.output, self.record = layer.record(*inputs)
        self.same("untouched", self.inputs, before, "input {} after record")
        mine = [x for x in pytree.tree_leaves(self.output) if carries(x)]
        self.same("forward", mine, [x.detach() for x in self.outputs], "output {}")

    @property
    def name(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__

    def signal(self, samples: int | None = None) -> Any:
        """A random signal shaped like the output, or like that for another number of samples."""

        def draw(value: Any) -> Tensor | None:
            if not carries(value):
                return None
            size = value.shape if samples is None else (samples, *value.shape[1:])
            return torch.randn(size, generator=self.generator, dtype=torch.float64)

        return pytree.tree_map(draw, self.output)

    def mirror(self, signal: Any, record: Any) -> list[Tensor]:
        """The signals the layer sends to its inputs; zeros where nothing arrives."""
        with torch.no_grad():
            sent = pytree.tree_leaves(self.layer.mirror(signal, record))
        if len(sent) != len(self.inputs):
            raise LawBroken(
                f"mirror law: {self.name} took {len(self.inputs)} tensors and sent {len(sent)} "
                "signals back; send one to each, None where nothing arrives"
            )
        pairs = zip(sent, self.inputs, strict=True)
        return [torch.zeros_like(x) if part is None else part for part, x in pairs]

    def derivative(self, signals: Sequence[Tensor]) -> list[Tensor]:
        """The signals autograd sends to the inputs; zeros where nothing arrives."""
        pairs = [(o, s) for o, s in zip(self.outputs, signals, strict=True) if o.requires_grad]
        outputs, seeds = zip(*pairs, strict=True)
        return list(
            torch.autograd.grad(
                outputs, self.leaves, seeds, retain_graph=True, materialize_grads=True
            )
        )

    def same(
        self, law: str, given: Sequence[Tensor], expected: Sequence[Tensor], where: str
    ) -> None:
        """Compare tensors pairwise.

        Raises:
            LawBroken: one is off; the message points to the greatest difference.
        """
        for number, (mine, right) in enumerate(zip(given, expected, strict=True)):
            told = f"{law} law: {self.name}, {where.format(number)}"
            if mine.shape != right.shape:
                raise LawBroken(
                    f"{told}: found shape {tuple(mine.shape)}, expected {tuple(right.shape)}"
                )
            gap = (mine - right).abs().nan_to_num(nan=float("inf"))
            if gap.numel() and gap.max() > self.tolerance * max(1.0, float(right.abs().max())):
                at = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
                raise LawBroken(
                    f"{told}, index {at}: found {float(mine[at]):.12g}, "
                    f"expected {float(right[at]):.12g}"
                )


def carries(value: Any) -> bool:
    """Whether a value is a tensor that can carry a signal."""
    return isinstance(value, Tensor) and value.is_floating_point()


def mirror_law(trial: Trial) -> None:
    """``mirror`` is autograd's derivative, and neither it nor ``record`` writes into anything."""
    signal = trial.signal()
    given = [s for s in pytree.tree_leaves(signal) if s is not None]
    before = [s.clone() for s in given]
    sent = trial.mirror(signal, trial.record)
    trial.same("mirror", sent, trial.derivative(before), "signal to input {}")
    trial.same("untouched", given, before, "signal {} after mirror")
    again = trial.mirror(signal, trial.record)
    trial.same("untouched", again, sent, "second signal to input {}")


def take_law(trial: Trial) -> None:
    """Units of any samples travel together as each of them does alone."""
    batch = trial.outputs[0].shape[0]
    owners = [batch - 1, *reversed(range(batch))]  # one repeat, and not in order
    signal = trial.signal(len(owners))
    sent = trial.mirror(signal, trial.record.take(torch.tensor(owners)))
    alone = []
    for unit, owner in enumerate(owners):

        def placed(rows: Any, unit: int = unit, owner: int = owner) -> Any:
            if rows is None:
                return None
            empty = rows.new_zeros((batch, *rows.shape[1:]))
            empty[owner] = rows[unit]
            return empty

        alone.append(trial.mirror(pytree.tree_map(placed, signal), trial.record))
    for number, input in enumerate(trial.inputs):
        mine, where = sent[number], f" to input {number}"
        each = torch.stack([signals[number] for signals in alone])
        if input.shape[:1] != (batch,) or mine.shape == input.shape:  # it has no batch
            trial.same("take", [mine], [each.sum(0)], "sum of the units' signals" + where)
            continue
        units = torch.arange(len(owners))
        trial.same("take", [mine], [each[units, owners]], "(unit, ...) of the signals" + where)
        each[units, owners] = 0
        stray = "(unit, other sample, ...) of the signals" + where
        trial.same("take", [each], [torch.zeros_like(each)], stray)


def cost_law(trial: Trial) -> None:
    """``multiply_adds`` of an output is a whole number, or None for unknown."""
    for output in trial.outputs:
        cost = trial.layer.multiply_adds(output.shape)
        if cost is not None and not (isinstance(cost, int) and cost >= 0):
            raise LawBroken(
                f"cost law: {trial.name}.multiply_adds({tuple(output.shape)}) is {cost!r}, "
                "expected an integer of at least 0, or None for unknown"
            )


def channel_law(trial: Trial) -> None:
    """A layer that says that it is channelwise sends a signal of one channel to that one alone."""
    output = trial.output
    if not trial.layer.channelwise or not isinstance(output, Tensor):
        return
    for channel in range(output.shape[1]):
        signal = torch.zeros_like(output)
        signal[:, channel] = trial.signal()[:, channel]
        for number, sent in enumerate(trial.mirror(signal, trial.record)):
            others = sent.clone()
            others[:, channel] = 0
            where = f"signal of channel {channel} to other channels of input {number}"
            trial.same("channel", [others], [torch.zeros_like(others)], where)


def inside_law(trial: Trial, numbers: np.random.Generator) -> None:
    """``inside`` gives on crops what the layer gives on whole maps, forward and back.

    Raises:
        LawBroken: they differ, or a record's ``within`` is not what a window would have left.
    """
    inside = trial.layer.inside(trial.record)
    if inside is None:
        return
    output = trial.output
    if not isinstance(output, Tensor) or output.ndim < 3:  # there are no windows without places
        return
    for _ in range(6):
        maps = tuple(output.shape[2:])
        size = tuple(int(numbers.integers(1, min(LARGEST, n) + 1)) for n in maps)
        last = [n - length for n, length in zip(maps, size, strict=True)]
        starts = numbers.integers(0, last, size=(UNITS, len(maps)), endpoint=True)
        rows = numbers.integers(0, len(output), UNITS)
        _compare(trial, inside, Crop(rows, starts, size, maps))


def _compare(trial: Trial, inside: Inside, crop: Crop) -> None:
    windows = trial.layer.window((*whole(2), *crop.window), trial.record)
    seen = [
        Crop.covering(window[2:], tuple(input.shape[2:]), crop.rows)
        for input, window in zip(trial.inputs, windows, strict=True)
    ]
    outside = ANYTHING if inside.outside is None else inside.outside
    given = [c.of(x, outside) for x, c in zip(trial.inputs, seen, strict=True)]
    output, record = inside.layer.record(*given)
    trial.same("inside", [output], [crop.of(trial.output)], "window {}")
    signal = torch.randn(output.shape, generator=trial.generator, dtype=torch.float64)
    rows = torch.from_numpy(crop.rows)
    alone = trial.layer.mirror(crop.around(signal), trial.record.take(rows))
    for told, kept in (("its own record", record), ("within()", trial.record.within(crop, seen))):
        sent = inside.layer.mirror(signal, kept)
        for number, (part, place, right) in enumerate(zip(sent, seen, alone, strict=True)):
            total = place.around(part)
            where = f"signal of windows by {told} to input {number}"
            trial.same("inside", [total], [right], where)
