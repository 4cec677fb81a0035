"""Sums, products and concatenations keep the laws, with every kind of broadcasting."""

import operator

import pytest
import torch

from deconvnet.layers import TABLE
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, numbers, positive

X = (3, 4, 2, 5)
BROADCASTS = [
    (X, X),
    (X, (4, 1, 1)),
    (X, (1, 4, 1, 1)),
    (X, (3, 4, 1, 1)),  # squeeze and excitation
    (X, (3, 1, 2, 5)),
    ((3, 1, 2, 1), (3, 4, 1, 5)),
    (X, (5,)),
    (X, ()),
    ((4, 1, 1), X),
    ((4, 2, 5), (3, 1, 1, 1)),
]
# lengths that could be taken for the batch
COINCIDENCES = [
    ((3, 3, 3, 3), (3, 1, 1)),  # channels == batch
    ((3, 3, 3, 3), (3,)),  # width == batch
    ((3, 3, 3, 3), (1, 3, 3, 3)),
    ((3, 4, 2, 2), (4, 1, 1)),  # channels == number of units that travel
    ((1, 4, 2, 2), (1, 4, 1, 1)),  # a batch of one
    ((1, 1, 2, 2), (1, 1, 1)),
    ((1, 4, 2, 2), (4, 2, 2)),
]


@pytest.mark.parametrize("sizes", BROADCASTS + COINCIDENCES, ids=str)
@pytest.mark.parametrize(
    "function", [operator.add, operator.sub, operator.mul, operator.truediv, torch.rsub]
)
def test_two_tensors(function, sizes):
    left, right = positive(*sizes[0]), positive(*sizes[1], seed=1)
    check_call(function, left, right, exact=True)


@pytest.mark.parametrize(
    "function",
    [operator.add, operator.iadd, torch.add, "add", operator.sub, operator.isub, torch.sub, "sub"]
    + [operator.mul, operator.imul, torch.mul, "mul"]
    + [operator.truediv, operator.itruediv, torch.div, "div", torch.rsub],
)
def test_every_spelling(function):
    left, right = positive(2, 3, 4), positive(2, 1, 4, seed=1)
    layer, inputs = call(function, left, right)
    plain = {operator.iadd: operator.add, operator.isub: operator.sub}
    plain |= {operator.imul: operator.mul, operator.itruediv: operator.truediv}
    check_call(plain.get(function, function), left, right, exact=True)
    check_layer(layer, *inputs, exact_window=True)
    check_layer(*_one(call(function, left, 2.5)), exact_window=True)


def _one(found):
    layer, inputs = found
    return layer, *inputs


@pytest.mark.parametrize("function", [torch.add, torch.sub, torch.rsub])
def test_alpha(function):
    check_call(function, numbers(2, 3), numbers(2, 3, seed=1), alpha=-2.5, exact=True)
    check_call(function, numbers(2, 3), 3, alpha=2, exact=True)


def test_numbers():
    x = positive(2, 3, 4)
    check_call(operator.sub, 1.5, x, exact=True)
    check_call(operator.add, 2, x, exact=True)
    check_call(operator.mul, -0.5, x, exact=True)
    check_call(operator.neg, x, exact=True)
    check_call(torch.neg, x, exact=True)
    check_call(torch.div, x, 3, exact=True)


def test_what_is_beyond_these_layers_is_left_to_autograd():
    x = positive(2, 3)
    assert TABLE[operator.truediv](1.0, x) is None
    assert TABLE[torch.div](x, x, rounding_mode="floor") is None
    assert TABLE[torch.add](x, x, out=x.clone()) is None
    assert TABLE[operator.mul](x, "no number") is None


def test_a_product_with_a_mask_and_a_quotient_by_counts():
    """Factors that are no floats: a signal still comes back to the ones that are."""
    x, signal = positive(2, 3), numbers(2, 3)
    for function, other in ((torch.mul, x > 0.5), (torch.div, torch.tensor([2, 3, 4]))):
        layer, inputs = call(function, x, other)
        output, record = layer.record(*inputs)
        assert torch.equal(output, function(x, other))
        expected = signal * other if function is torch.mul else signal / other
        assert torch.equal(layer.mirror(signal, record)[0], expected)


@pytest.mark.parametrize("function", [operator.add, operator.mul, operator.truediv])
def test_tensors_without_axes_have_no_samples(function):
    check_call(function, numbers(), numbers(seed=1), exact=True, separable=False)


@pytest.mark.parametrize("dim", [1, 2, -1, -2])
@pytest.mark.parametrize("function", [torch.cat, torch.concat])
def test_concatenation(function, dim):
    size = [3, 2, 4]
    parts = []
    for length in (2, 1, 3):
        size[dim] = length
        parts.append(numbers(*size, seed=length))
    check_call(function, parts, dim, exact=True)


def test_concatenation_along_the_batch_mixes_the_samples():
    check_call(torch.cat, [numbers(3, 2), numbers(2, 2, seed=1)], exact=True, separable=False)


def test_concatenation_where_the_axis_is_as_long_as_the_batch():
    check_call(torch.cat, (numbers(3, 1, 3), numbers(3, 2, 3, seed=1)), 1, exact=True)


def test_the_law_catches_a_signal_that_is_not_summed_over_what_was_broadcast():
    layer, inputs = call(operator.add, numbers(2, 3, 4), numbers(1, 3, 1))
    one = Planted(layer, back=lambda s, record: (s, s[:1, :, :1]))
    with pytest.raises(LawBroken, match="mirror law.*to input 1"):
        check_layer(one, *inputs)


def test_the_law_catches_a_forgotten_factor():
    layer, inputs = call(operator.sub, numbers(2, 3), numbers(2, 3, seed=1))
    with pytest.raises(LawBroken, match="mirror law.*to input 1"):
        check_layer(Planted(layer, back=lambda s, record: (s, s)), *inputs)


def test_the_law_catches_factors_that_are_exchanged():
    layer, inputs = call(operator.mul, numbers(2, 3), numbers(2, 3, seed=1))
    own = Planted(layer, back=lambda s, record: tuple(s * x for x in record.inputs))
    with pytest.raises(LawBroken, match="mirror law.*to input 0"):
        check_layer(own, *inputs)


def test_the_law_catches_rows_of_what_has_no_batch():
    """A (3, 1, 1) factor of a batch of three is not one number a sample."""
    layer, inputs = call(operator.mul, numbers(3, 3, 2, 2), numbers(3, 1, 1, seed=1))

    class Rows(Planted):
        def record(self, *inputs):
            output, record = self.layer.record(*inputs)
            first, second = record.inputs
            return output, type(record)((first, second.expand(3, 3, 2, 2)), 4, 3)

        def mirror(self, signal, record):
            left, right = self.layer.mirror(signal, record)
            return left, right.sum((1, 2, 3))[:, None, None]

    with pytest.raises(LawBroken):
        check_layer(Rows(layer), *inputs)


def test_the_law_catches_parts_in_another_order():
    layer, inputs = call(torch.cat, [numbers(2, 3), numbers(2, 3, seed=1)], 1)
    swapped = Planted(layer, back=lambda s, record: layer.mirror(s, record)[::-1])
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(swapped, *inputs)

    class Swapped(Planted):
        def window(self, window, record):
            return self.layer.window(window, record)[::-1]

    with pytest.raises(LawBroken, match="window law"):
        check_layer(Swapped(layer), *inputs)
