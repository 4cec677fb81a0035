"""The law of layers that run on windows: there they do what they do on whole maps."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from deconvnet.layers.window import whole

from .layers import Crop, Inside
from .trial import Trial

UNITS, LARGEST = 8, 4  # windows that are tried at a time, and their longest side
ANYTHING = 3.0  # stands outside of the map for layers that say it makes no difference


def inside_law(trial: Trial, numbers: np.random.Generator) -> None:
    """Compare windows with whole maps, up and down, at the borders too.

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
    every = signal.new_zeros((UNITS, *trial.output.shape[1:]))
    alone = trial.layer.mirror(
        crop.add(signal, every), trial.record.take(torch.from_numpy(crop.rows))
    )
    for told, kept in (("its own record", record), ("within()", trial.record.within(crop, seen))):
        found = inside.layer.mirror(signal, kept)
        for number, (part, place, right) in enumerate(zip(found, seen, alone, strict=True)):
            total = place.add(part, torch.zeros_like(right))
            where = f"signal of windows by {told} to input {number}"
            trial.same("inside", [total], [right], where)
