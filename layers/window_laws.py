"""The laws of windows: nothing is seen outside of them, and they depend on sizes alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from .laws import LawBroken, Trial, carries
from .window import Interval

BOXES = 12  # random ranges of output cells whose windows are tried, beside the corners
Ranges = list[tuple[int, int]] | None  # one an axis; None where nothing is seen
Redrawn = Callable[[Tensor, torch.Generator], Tensor]


def window_law(trial: Trial, numbers: np.random.Generator, *, exact: bool) -> None:
    """No range of output cells, drawn by ``numbers``, depends on anything outside its window.

    An ``exact`` window is no larger than what is seen.
    """
    boxes = [_boxes(tuple(output.shape), numbers) for output in trial.outputs]
    for number, box, told in _seen(trial, trial.record, boxes):
        seeds = [torch.zeros_like(out) for out in trial.outputs]
        region = tuple(slice(*ends) for ends in box)
        # positive, so that nothing cancels; uneven, since what normalises ignores a constant
        seeds[number][region] = 0.5 + torch.rand(
            seeds[number][region].shape, generator=trial.generator, dtype=torch.float64
        )
        for k, (slope, one) in enumerate(zip(trial.derivative(seeds), told, strict=True)):
            seen = _hull(slope)
            if one != seen if exact else not _covers(one, seen):
                raise LawBroken(
                    f"window law: {trial.name}, output {number}, places {_text(box)} see "
                    f"{_text(seen)} of input {k}, but the window says {_text(one)}"
                )


def value_law(trial: Trial, inputs: tuple[Any, ...], numbers: np.random.Generator) -> None:
    """Windows are the same for other values of the same sizes."""
    boxes = [_boxes(tuple(output.shape), numbers) for output in trial.outputs]
    before, inside = list(_seen(trial, trial.record, boxes)), trial.layer.inside(trial.record)
    for redrawn in OTHERS:
        others = pytree.tree_map(lambda x, redrawn=redrawn: redrawn(x, trial.generator), inputs)
        try:
            with torch.no_grad():
                output, record = trial.layer.record(*others)
        except (RuntimeError, ValueError):  # a matrix that must be positive, say
            continue
        sizes = [x.shape for x in pytree.tree_leaves(output) if carries(x)]
        if sizes != [x.shape for x in trial.outputs]:
            raise LawBroken(f"value law: {trial.name}, other values give outputs of sizes {sizes}")
        if (trial.layer.inside(record) is None) != (inside is None):
            raise LawBroken(f"value law: {trial.name} runs on windows for some values alone")
        for (number, box, told), (*_, now) in zip(before, _seen(trial, record, boxes), strict=True):
            for k, (one, other) in enumerate(zip(told, now, strict=True)):
                if one != other:
                    raise LawBroken(
                        f"value law: {trial.name}, output {number}, places {_text(box)} in input "
                        f"{k}: the window says {_text(one)}, and for other values {_text(other)}; "
                        "it may depend on sizes alone"
                    )


def _seen(
    trial: Trial, record: Any, boxes: list[tuple[NDArray[Any], NDArray[Any]]]
) -> Iterator[tuple[int, list[tuple[int, int]], list[Ranges]]]:
    """The number of each output, each box of its cells, and what this sees of each input."""
    flat, layout = pytree.tree_flatten(trial.output)
    places = [i for i, value in enumerate(flat) if carries(value)]
    sizes = [tuple(input.shape) for input in trial.inputs]
    for number, (starts, stops) in enumerate(boxes):
        window = tuple(Interval(a, b) for a, b in zip(starts.T, stops.T, strict=True))
        asked = [window if i == places[number] else None for i in range(len(flat))]
        answer = trial.layer.window(pytree.tree_unflatten(asked, layout), record)
        _check_form(trial, answer)
        seen = _windows(answer)
        for unit, (start, stop) in enumerate(zip(starts.tolist(), stops.tolist(), strict=True)):
            told = [_told(one, size, unit) for one, size in zip(seen, sizes, strict=True)]
            yield number, list(zip(start, stop, strict=True)), told


def _drawn(low: float, high: float) -> Redrawn:
    """Values of the input itself, which a layer surely takes: the smaller ones, the greater."""

    def draw(value: Tensor, generator: torch.Generator) -> Tensor:
        known = value.detach().flatten().sort().values
        first, last = int(low * known.numel()), max(1, int(high * known.numel()))
        if first >= last:
            return value
        return known[torch.randint(first, last, value.shape, generator=generator)]

    return draw


OTHERS: tuple[Redrawn, ...] = (
    lambda value, _: torch.zeros_like(value),  # receptive fields are computed from zeros
    lambda value, _: value.roll(1, 0) if value.ndim else value,  # samples in another order
    _drawn(0, 1),
    _drawn(0, 0.5),
    _drawn(0.5, 1),
    lambda value, _: value * -1,  # another sign, another order of magnitude
    lambda value, _: value * 100,
    lambda value, _: value * 0.01,
)


def _boxes(
    size: tuple[int, ...], numbers: np.random.Generator
) -> tuple[NDArray[Any], NDArray[Any]]:
    """First and last place, everything, and random ranges and places: (boxes, axes) each."""
    length = np.array(size, dtype=np.int64).reshape(1, -1)
    one, other = numbers.integers(0, length, size=(2, BOXES, length.size))
    other[::2] = one[::2]  # single places
    starts = np.concatenate([0 * length, length - 1, 0 * length, np.minimum(one, other)])
    stops = np.concatenate([0 * length, length - 1, length - 1, np.maximum(one, other)]) + 1
    return starts, stops


def _check_form(trial: Trial, answer: Any) -> None:
    """For each input that is a tensor, one window: an ``Interval`` for each of its axes."""
    windows = answer if isinstance(answer, tuple) else ()
    wrong = len(windows) != len(trial.given) or any(
        isinstance(given, Tensor) and window and not all(isinstance(i, Interval) for i in window)
        for window, given in zip(windows, trial.given, strict=False)
    )
    if wrong:
        inside = ", ".join(type(window).__name__ for window in windows)
        raise LawBroken(
            f"window law: {trial.name}.window gave {type(answer).__name__} ({inside}), expected a "
            f"tuple of {len(trial.given)}: for each input one Interval an axis, or None"
        )


def _windows(value: Any) -> list[Any]:
    """The windows in the containers of what ``window`` gave; None where nothing is seen."""
    if value is None or all(isinstance(part, Interval) for part in value):
        return [value]
    parts = value.values() if isinstance(value, dict) else value
    return [window for part in parts for window in _windows(part)]


def _told(window: Any, size: tuple[int, ...], unit: int) -> Ranges:
    """What a window says about one unit, clipped to the input."""
    if window is None:
        return None
    ranges = []
    for interval, length in zip(window, size, strict=True):
        inside = interval.clipped(length)
        start, stop = np.broadcast_arrays(inside.start, inside.stop)
        ranges.append((int(start.flat[unit % start.size]), int(stop.flat[unit % stop.size])))
    return None if any(stop <= start for start, stop in ranges) else ranges


def _hull(slope: Tensor) -> Ranges:
    """The ranges in which a derivative is not zero."""
    places = slope.nonzero()
    if not len(places):
        return None
    first, last = places.amin(0).tolist(), places.amax(0).tolist()
    return [(a, b + 1) for a, b in zip(first, last, strict=True)]


def _covers(told: Ranges, seen: Ranges) -> bool:
    if told is None or seen is None:
        return seen is None
    return all(a <= b and d >= c for (a, d), (b, c) in zip(told, seen, strict=True))


def _text(ranges: Ranges) -> str:
    return "nothing" if ranges is None else f"[{', '.join(f'{a}:{b}' for a, b in ranges)}]"
