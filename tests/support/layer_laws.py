"""What the tests of the layers share: inputs, calls as the table reads them, windows by force."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from deconvnet.layers import TABLE, Interval, MirroredLayer, Policies, reader_for, rectifier
from deconvnet.testing import check_layer

GRADIENT = Policies(rectifier("gradient"))


def numbers(*size, seed=0):
    """Normal float64 numbers."""
    return torch.randn(size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def positive(*size, seed=0):
    """Float64 numbers between .1 and 1.1: filters that cancel nowhere."""
    return 0.1 + torch.rand(
        size, generator=torch.Generator().manual_seed(seed), dtype=torch.float64
    )


def in_words(value):
    """The id of a parameter, the same in every process: str of a function holds its address."""
    if isinstance(value, tuple | list):
        return f"({', '.join(map(in_words, value))})"
    return str(getattr(value, "__name__", value))


def call(function, *args, **kwargs):
    """(layer, inputs) of a call of a function or a method in the table, under the gradient."""
    layer, inputs = TABLE[function](*args, **kwargs)
    return layer.under(GRADIENT), inputs


def check_call(function, *args, exact=False, per_sample=True, **kwargs):
    """All laws for a call, its forward pass against the function itself."""
    layer, inputs = call(function, *args, **kwargs)
    run = getattr(Tensor, function) if isinstance(function, str) else function

    def forward(*now):
        def swapped(value):
            same = [new for new, old in zip(now, inputs, strict=True) if value is old]
            return same[0] if same else value

        return run(*pytree.tree_map(swapped, args), **pytree.tree_map(swapped, kwargs))

    check_layer(layer, *inputs, forward=forward, exact_window=exact)
    assert layer.record(*inputs)[1].per_sample == per_sample
    return layer


def read_module(module, x):
    """(layer, inputs) of a module's call, under the gradient."""
    layer, inputs = reader_for(module)(module, x)
    return layer.under(GRADIENT), inputs


def check_module(module, x, *, exact=False):
    """All laws for a module at evaluation, its forward pass against the module itself."""
    module = module.double().eval().requires_grad_(False)
    layer, inputs = read_module(module, x)
    check_layer(layer, *inputs, forward=module, exact_window=exact)
    return layer


def check_windows(layer, x, *, exact=True):
    """Windows of every output place and of random boxes of places, against what is really seen.

    An input place is seen by an output place if moving its value far up or down changes it. That
    needs no derivative, so it also tells where a switch could stand.
    """
    layer = layer.under(GRADIENT)
    output, record = layer.record(x)
    seen = influence(layer, x)
    starts = np.stack(np.unravel_index(np.arange(output.numel()), output.shape), axis=1)
    stops = starts + 1
    random = np.random.default_rng(0)
    ends = random.integers(0, output.shape, size=(2, 40, output.ndim))
    starts = np.concatenate([starts, ends.min(0)])
    stops = np.concatenate([stops, ends.max(0) + 1])
    window = tuple(Interval(a, b) for a, b in zip(starts.T, stops.T, strict=True))
    (below,) = layer.window(window, record)
    told = np.stack(
        [
            np.stack(np.broadcast_arrays(*_ends(i.clipped(n)), starts[:, 0])[:2], axis=1)
            for i, n in zip(below, x.shape, strict=True)
        ],
        axis=1,
    )
    for start, stop, ranges in zip(starts, stops, told, strict=True):
        region = seen[tuple(map(slice, start, stop))].reshape(-1, *x.shape).any(0)
        found = _hull(region)
        where = f"places {start}:{stop} see {found}, the window says {ranges}"
        if found is None:
            assert not exact or (ranges[:, 1] <= ranges[:, 0]).any(), where
        elif exact:
            assert np.array_equal(ranges, found), where
        else:
            assert (ranges[:, 0] <= found[:, 0]).all(), where
            assert (ranges[:, 1] >= found[:, 1]).all(), where


def influence(layer, x):
    """(*output, *input) bool: whether an output place depends on an input place."""
    output = layer.record(x)[0]
    seen = np.zeros((*output.shape, x.numel()), dtype=bool)
    for place in range(x.numel()):
        for step in (-1e3, 1e3):
            moved = x.clone()
            moved.view(-1)[place] += step
            seen[..., place] |= (layer.record(moved)[0] != output).numpy()
    return seen.reshape(*output.shape, *x.shape)


def _ends(interval):
    return interval.start, interval.stop


def _hull(region):
    if not region.any():
        return None
    places = np.argwhere(region)
    return np.stack([places.min(0), places.max(0) + 1], axis=1)


@dataclass(frozen=True, eq=False)
class Planted(MirroredLayer):
    """A layer with a fault planted into one of its methods."""

    layer: MirroredLayer
    back: Any = None  # (signal, record) -> signals
    sees: Any = None  # window of the first input -> the faulty one
    taken: Any = None  # index -> the faulty one
    within: Any = None  # how it runs on windows -> the faulty way

    def record(self, *inputs):
        output, record = self.layer.record(*inputs)
        return output, record if self.taken is None else faulty_take(record, self.taken)

    def mirror(self, signal, record):
        return (self.back or self.layer.mirror)(signal, record)

    def window(self, window, record):
        first, *rest = self.layer.window(window, record)
        return (first if self.sees is None else self.sees(first), *rest)

    def inside(self, record):
        return None if self.within is None else self.within(self.layer.inside(record))


def faulty_take(record, taken):
    """The same record, of a class whose ``take`` takes other rows."""
    kind = type(record)
    faulty = type(kind.__name__, (kind,), {"take": lambda self, i: kind.take(self, taken(i))})
    copy = object.__new__(faulty)
    copy.__dict__.update(vars(record))
    return copy


def wider(window, before, after, axis=-1):
    """A window whose range along one axis begins ``before`` earlier and ends ``after`` later."""
    parts = list(window)
    parts[axis] = Interval(parts[axis].start - before, parts[axis].stop + after)
    return tuple(parts)
