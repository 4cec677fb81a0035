"""The laws of a mirrored layer: whoever adds a layer checks it with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils import _pytree as pytree

from deconvnet.projection.check.report import ModelReport, check_model

from .inside_law import inside_law
from .layers import Interval, MirroredLayer, Policies, rectifier
from .trial import LawBroken, Trial, carries

__all__ = ["LawBroken", "ModelReport", "check_layer", "check_model"]

BOXES = 12  # random ranges of output places whose windows are tried, beside the corners


def check_layer(
    layer: MirroredLayer,
    *inputs: Any,
    policies: Policies | None = None,
    forward: Callable[..., Any] | None = None,
    exact_window: bool = False,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> None:
    """Check that ``record``, ``mirror`` and ``window`` of a layer belong together.

    - *forward law*: ``record`` gives what ``forward`` gives, where that is told.
    - *mirror law*: for a random signal, ``mirror`` gives what ``torch.autograd.grad`` gives.
    - *window law*: no range of output places depends on anything outside its window.
    - *value law*: windows, and whether the layer runs on windows, are the same for other values of
      the same sizes. Receptive fields are found once for all images, of an image of zeros.
    - *take law*: where the record keeps samples apart, units of any samples travel together through
      ``record.take`` as each of them does alone through the whole record.
    - *inside law*: where the layer runs on windows, ``inside`` and ``within`` give there what the
      layer gives on whole maps, up and down, at the borders too.
    - *untouched law*: neither inputs nor signal are written into, and mirroring leaves the
      record as it was: the second time gives the same.

    Args:
        layer: the layer; its parameters in float64.
        inputs: float64 tensors (batch, ...) of two samples or more, so that rows can be told
            apart; containers of tensors for a layer that takes those.
        policies: for layers that a policy rules. By default the gradient; the mirror law holds
            only under policies that carry the signal by its derivative.
        forward: the same operation in plain torch; by default ``record`` is differentiated.
        exact_window: a window must also be no larger than the range of what is seen. Ask it
            where no derivative inside a window is zero: of positive filters, say.
        tolerance: of every comparison, relative to the greatest value expected (at least 1).
        seed: of the random signals and ranges.

    Raises:
        LawBroken: a law does not hold. The message says which, where, what was found and what
            was expected.
        TypeError: an input is not float64.
        ValueError: the output has no derivative to compare with.

    Examples:
        >>> from deconvnet.layers.linear import Linear
        >>> weight = torch.ones(4, 3, dtype=torch.float64)
        >>> check_layer(Linear(weight), torch.randn(2, 3, dtype=torch.float64), exact_window=True)
    """
    for value in pytree.tree_leaves(inputs):
        if not isinstance(value, Tensor) or value.dtype != torch.float64:
            given = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"an input was {given}; laws hold to float64: give tensors .double()")
    layer = layer.under(policies or Policies(rectifier("gradient")))
    trial = Trial(layer, inputs, forward=forward, tolerance=tolerance, seed=seed)
    _mirror_law(trial)
    _window_law(trial, np.random.default_rng(seed), exact=exact_window)
    _value_law(trial, inputs, np.random.default_rng(seed))
    if trial.record.apart:
        _take_law(trial)
        inside_law(trial, np.random.default_rng(seed))


def _mirror_law(trial: Trial) -> None:
    signal = trial.signal()
    given = [s for s in pytree.tree_leaves(signal) if s is not None]
    before = [s.clone() for s in given]
    found = trial.mirror(signal, trial.record)
    trial.same("mirror", found, trial.derivative(before), "signal to input {}")
    trial.same("untouched", given, before, "signal {} after mirror")
    again = trial.mirror(signal, trial.record)
    trial.same("untouched", again, found, "second signal to input {}")


def _take_law(trial: Trial) -> None:
    batch = trial.outputs[0].shape[0]
    owners = [batch - 1, *reversed(range(batch))]  # one repeat, and not in order
    signal = trial.signal(len(owners))
    found = trial.mirror(signal, trial.record.take(torch.tensor(owners)))
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
        mine, where = found[number], f" to input {number}"
        each = torch.stack([signals[number] for signals in alone])
        if input.shape[:1] != (batch,) or mine.shape == input.shape:  # it has no batch
            trial.same("take", [mine], [each.sum(0)], "sum of the units' signals" + where)
            continue
        units = torch.arange(len(owners))
        trial.same("take", [mine], [each[units, owners]], "(unit, ...) of the signals" + where)
        each[units, owners] = 0
        stray = "(unit, other sample, ...) of the signals" + where
        trial.same("take", [each], [torch.zeros_like(each)], stray)


def _window_law(trial: Trial, numbers: np.random.Generator, *, exact: bool) -> None:
    flat, layout = pytree.tree_flatten(trial.output)
    places = [i for i, value in enumerate(flat) if carries(value)]
    for number, output in enumerate(trial.outputs):
        starts, stops = _boxes(tuple(output.shape), numbers)
        window = tuple(Interval(a, b) for a, b in zip(starts.T, stops.T, strict=True))
        asked = [window if i == places[number] else None for i in range(len(flat))]
        seen = _windows(trial.layer.window(pytree.tree_unflatten(asked, layout), trial.record))
        for unit, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            seeds = [torch.zeros_like(out) for out in trial.outputs]
            region = tuple(map(slice, start, stop))
            # positive, so that nothing cancels; uneven, since what normalises ignores a constant
            seeds[number][region] = 0.5 + torch.rand(
                seeds[number][region].shape, generator=trial.generator, dtype=torch.float64
            )
            for k, slope in enumerate(trial.derivative(seeds)):
                told = _told(seen[k], tuple(slope.shape), unit)
                found = _hull(slope)
                if told != found if exact else not _covers(told, found):
                    raise LawBroken(
                        f"window law: {trial.name}, output {number}, places "
                        f"{_text(list(zip(start, stop, strict=True)))} see {_text(found)} of input "
                        f"{k}, but the window says {_text(told)}"
                    )


def _value_law(trial: Trial, inputs: tuple[Any, ...], numbers: np.random.Generator) -> None:
    boxes = [_boxes(tuple(output.shape), numbers) for output in trial.outputs]
    before, inside = _every_window(trial, trial.record, boxes), trial.layer.inside(trial.record)
    for redrawn in (_zeros, _rolled, _drawn(0, 1), _drawn(0, 0.5), _drawn(0.5, 1)):
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
        for (where, told), (_, now) in zip(
            before, _every_window(trial, record, boxes), strict=True
        ):
            if told != now:
                raise LawBroken(
                    f"value law: {trial.name}, {where}: the window says {_text(told)}, and for "
                    f"other values {_text(now)}; it may depend on sizes alone"
                )


def _every_window(
    trial: Trial, record: Any, boxes: list[tuple[NDArray[Any], NDArray[Any]]]
) -> list[tuple[str, Ranges]]:
    """What every input shows of every box of every output, and which that is."""
    flat, layout = pytree.tree_flatten(trial.output)
    places = [i for i, value in enumerate(flat) if carries(value)]
    found = []
    for number, (starts, stops) in enumerate(boxes):
        window = tuple(Interval(a, b) for a, b in zip(starts.T, stops.T, strict=True))
        asked = [window if i == places[number] else None for i in range(len(flat))]
        seen = _windows(trial.layer.window(pytree.tree_unflatten(asked, layout), record))
        for unit, (start, stop) in enumerate(zip(starts, stops, strict=True)):
            box = _text(list(zip(start.tolist(), stop.tolist(), strict=True)))
            for k, (one, input) in enumerate(zip(seen, trial.inputs, strict=True)):
                where = f"output {number}, places {box} in input {k}"
                found.append((where, _told(one, tuple(input.shape), unit)))
    return found


def _zeros(value: Tensor, generator: torch.Generator) -> Tensor:
    """Of these the fields are found."""
    return torch.zeros_like(value)


def _rolled(value: Tensor, generator: torch.Generator) -> Tensor:
    """Samples in another order."""
    return value.roll(1, 0) if value.ndim else value


def _drawn(low: float, high: float) -> Callable[[Tensor, torch.Generator], Tensor]:
    """Values of the input itself, which a layer surely takes: the smaller ones, the greater."""

    def draw(value: Tensor, generator: torch.Generator) -> Tensor:
        known = value.detach().flatten().sort().values
        first, last = int(low * known.numel()), max(1, int(high * known.numel()))
        if first >= last:
            return value
        return known[torch.randint(first, last, value.shape, generator=generator)]

    return draw


Ranges = list[tuple[int, int]] | None  # one an axis; None where nothing is seen


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


def _covers(told: Ranges, found: Ranges) -> bool:
    if told is None or found is None:
        return found is None
    return all(a <= b and d >= c for (a, d), (b, c) in zip(told, found, strict=True))


def _text(ranges: Ranges) -> str:
    return "nothing" if ranges is None else f"[{', '.join(f'{a}:{b}' for a, b in ranges)}]"
