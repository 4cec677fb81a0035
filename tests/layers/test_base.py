"""The contract: records travel in rows, layers keep nothing, adjoints are transposes."""

import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Size

from deconvnet.layers import InputSize, LinearMap, MirroredLayer, Nothing, Record
from deconvnet.layers.base import adjoint, take
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import call, numbers

INDEX = torch.tensor([2, 0, 2, 1])


def test_rows_are_taken_of_tensors_sizes_and_tuples():
    x = numbers(3, 4)
    assert torch.equal(take(x, INDEX), x[[2, 0, 2, 1]])
    assert take(Size((3, 4, 5)), INDEX) == Size((4, 4, 5))
    tensor, size, other = take((x, Size((3, 2)), "zeros"), INDEX)
    assert tensor.shape == (4, 4)
    assert size == (4, 2)
    assert isinstance(size, Size)
    assert other == "zeros"
    assert take(None, INDEX) is None
    assert take(3, INDEX) == 3


def test_records_are_frozen_and_taken_field_by_field():
    @dataclasses.dataclass(frozen=True, eq=False)
    class Both(Record):
        mask: torch.Tensor
        size: Size

    record = Both(numbers(3, 2) > 0, Size((3, 2)))
    taken = record.take(INDEX)
    assert isinstance(taken, Both)
    assert torch.equal(taken.mask, record.mask[INDEX])
    assert taken.size == (4, 2)
    assert record.size == (3, 2)
    with pytest.raises(dataclasses.FrozenInstanceError):
        record.size = Size(())
    assert isinstance(Nothing().take(INDEX), Nothing)


def matrix(function, size_in, size_out):
    """A linear function as a matrix, one unit vector at a time."""
    columns = torch.eye(size_in.numel(), dtype=torch.float64)
    return torch.stack([function(c.reshape(size_in)).flatten() for c in columns], 1)


def is_transpose(back, function, size_in, size_out):
    signal = numbers(*size_out)
    expected = matrix(function, size_in, size_out).T @ signal.flatten()
    return torch.allclose(back(signal).flatten(), expected, rtol=0, atol=1e-12)


def test_adjoint_is_the_transposed_matrix():
    size_in, size_out = Size((1, 2, 5)), Size((1, 2, 3))

    def function(x):
        return F.avg_pool1d(x, 3, 2, 1)

    assert is_transpose(lambda s: adjoint(function, size_in, s), function, size_in, size_out)
    assert not is_transpose(
        lambda s: 1.0005 * adjoint(function, size_in, s), function, size_in, size_out
    )


def test_adjoint_needs_no_gradient_mode_and_leaves_none():
    with torch.no_grad():
        back = adjoint(lambda x: 2 * x, Size((1, 3)), numbers(1, 3))
    assert not back.requires_grad
    assert adjoint(lambda x: 2 * x, Size((1, 3)), torch.ones(1, 3)).dtype == torch.float32


def test_a_linear_map_is_its_function_and_what_it_sees():
    layer = LinearMap(lambda x: x.flip(-1), lambda w, size: (*w[:-1], _flipped(w[-1], size[-1])))
    check_layer(layer, numbers(2, 3, 5), exact_window=True)
    wrong = LinearMap(layer.function, lambda w, size: w)
    with pytest.raises(LawBroken, match="window law"):
        check_layer(wrong, numbers(2, 3, 5))


def _flipped(interval, length):
    return type(interval)(length - interval.stop, length - interval.start)


def test_a_map_that_is_not_linear_is_caught():
    """Its transpose at zero is not its derivative at the input."""
    layer = LinearMap(torch.sin, lambda w, size: w)
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(layer, numbers(2, 3, 5))


def test_one_layer_holds_many_recordings():
    layer, (one,) = call(F.max_pool2d, numbers(1, 2, 6, 6), 2)
    first = layer.record(one)[1]
    signal = numbers(1, 2, 3, 3)
    before = layer.mirror(signal, first)[0]
    layer.record(numbers(4, 2, 8, 8, seed=1))
    assert torch.equal(layer.mirror(signal, first)[0], before)


def test_a_layer_without_all_three_methods_cannot_be_made():
    class Half(MirroredLayer):
        def record(self, x):
            return x, InputSize(x.shape)

    with pytest.raises(TypeError, match="abstract"):
        Half()
