"""Which operations keep samples apart, and units that share a backward pass of one that does."""

import itertools

import pytest
import torch
from torch import nn

from deconvnet.layers import Local
from deconvnet.layers.local import Traced, rounds, separating
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import numbers

X = (5, 4, 3)


def hidden(x):
    """Values stay apart, and signals do not: the mean is taken away again, but not its way."""
    mean = x.mean(0, keepdim=True)
    return x + mean - mean.detach()


def of_one_pair(x):
    """The first sample sees the fourth; no other sees another."""
    return x + torch.cat([x[3:4], torch.zeros_like(x[1:])])


APART = {
    "fourier": lambda x: torch.fft.fft(x, dim=-1).abs(),
    "norm": lambda x: x / x.norm(dim=(1, 2), keepdim=True),
    "matrices": lambda x: torch.linalg.pinv(x),
    "square root at 0": lambda x: (x * (x > 0)).sum((1, 2)).clamp(min=0).sqrt() * x[:, 0, 0],
    "scale of the batch without a gradient": lambda x: x / x.std().detach(),
    "tuple": lambda x: (x.sin(), x.argmax(1), {"cos": x.cos()}),
}
MIXED = {
    "mean": lambda x: x - x.mean(0),
    "rolled": lambda x: x.roll(1, 0),
    "turned over": lambda x: x.flip(0),
    "greatest of all": lambda x: x / x.max(),
    "hidden": hidden,
    "of one pair": of_one_pair,
    "very weak": lambda x: x + 1e-12 * x.sum(),
    "along another axis": lambda x: x.transpose(0, 1) * 2,
    "gone": lambda x: x.sum(),
}


def traced(function, *size):
    return Local(function).record(numbers(*size))[1]


@pytest.mark.parametrize("name", APART)
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_samples_that_stay_apart(name, samples):
    record = traced(APART[name], samples, 4, 3)
    assert record.apart
    assert not record.per_sample, "values of the batch may matter"


@pytest.mark.parametrize("name", MIXED)
@pytest.mark.parametrize("size", [X, (4, 4, 4)])
def test_samples_that_are_mixed(name, size):
    assert not traced(MIXED[name], *size).apart


@pytest.mark.parametrize("name", sorted({*APART} - {"square root at 0"}))
def test_the_laws(name):
    """Among them that units travel together as each does alone, in any order and repeated."""
    check_layer(Local(APART[name]), numbers(*X), forward=APART[name])


def test_nothing_of_a_sample_without_a_derivative_is_taken_for_another():
    """At 0 the root sends NaN, whatever signal arrives; that tells nothing of the others."""
    record = traced(lambda x: (x * 0).sum((1, 2)).sqrt(), *X)
    assert record.back([torch.ones(5, dtype=torch.float64)])[0].isnan().all()
    assert record.apart


class Lying(Traced):
    """Planted: it says that samples stay apart, without a try."""

    @property
    def apart(self):
        return True


@pytest.mark.parametrize("name", ["mean", "rolled", "hidden", "of one pair"])
def test_the_laws_catch_an_operation_that_says_so_and_mixes(name):
    class Wrong(Local):
        def record(self, *inputs):
            output, kept = super().record(*inputs)
            return output, Lying(**vars(kept))

    with pytest.raises(LawBroken, match="take law"):
        check_layer(Wrong(MIXED[name]), numbers(*X), forward=MIXED[name])


def test_it_is_tried_once_for_each_size():
    calls = []

    class Counting(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return x.clone()

        @staticmethod
        def backward(ctx, signal):
            calls.append(signal)
            return signal

    layer, counts = Local(Counting.apply), []
    for samples in (5, 5, 6, 5):
        assert layer.record(numbers(samples, 3))[1].apart
        counts.append(len(calls))
    assert 0 < counts[0] == counts[1] < counts[2] == counts[3]


def test_any_two_samples_are_once_told_from_each_other():
    for samples in range(1, 40):
        groups = list(separating(samples))
        assert len(groups) <= 8
        for one, other in itertools.permutations(range(samples), 2):
            assert any(one in group and other not in group for group in groups)


def test_units_of_a_sample_need_a_round_each():
    assert rounds([]) == []
    assert rounds([2, 0, 2, 1, 0, 2]) == [[0, 1, 3], [2, 4], [5]]


def test_random_operations_and_signals_to_some_outputs():
    """The kept graph is used, so that what was dropped stays dropped."""

    def dropped(x):
        return nn.functional.dropout(x, 0.5, training=True), x.exp()

    x = numbers(*X)
    layer = Local(dropped)
    (output, _), record = layer.record(x)
    signal = numbers(3, 4, 3, seed=1)
    packed = record.take(torch.tensor([4, 0, 4]))
    (found,) = layer.mirror((signal, None), packed)
    kept = (output != 0).double()[[4, 0, 4]] * 2
    torch.testing.assert_close(found, signal * kept)
    (again,) = layer.mirror((signal[1:], None), packed.take(torch.tensor([1, 2])))
    assert torch.equal(again, found[1:])
    assert layer.mirror((None, None), packed) == (None,)
