"""The table: which calls it reads, and which it leaves to autograd."""

import inspect

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE, MirroredLayer, reader_for
from tests.support.layer_laws import numbers


def test_keys_are_modules_functions_and_names_of_methods():
    for key in TABLE:
        method = isinstance(key, str) and hasattr(torch.Tensor, key)
        module = isinstance(key, type) and issubclass(key, nn.Module)
        assert method or module or callable(key), key


def test_every_reader_says_which_arguments_it_takes():
    """By their signature a spelling with others is told, and left to autograd."""
    for key, reader in TABLE.items():
        assert inspect.signature(reader).parameters, key
    inspect.signature(TABLE[F.max_pool2d]).bind(numbers(2), 2, ceil_mode=True)
    with pytest.raises(TypeError):
        inspect.signature(TABLE[F.max_pool2d]).bind(numbers(2), 2, out=numbers(2))


@pytest.mark.parametrize(
    ("function", "twin"),
    [
        (F.conv2d, F.conv_transpose2d),
        (F.max_pool2d, F.avg_pool2d),
        (F.adaptive_max_pool2d, F.adaptive_avg_pool2d),
        (torch.mean, torch.sum),
        (torch.add, torch.sub),
    ],
)
def test_no_two_functions_are_exchanged(function, twin):
    """Read with the same arguments, each gives its own forward pass and not the other's."""
    second = {"conv": numbers(3, 3, 2, 2), "max_": 2, "avg_": 2, "adap": 2, "add": 3, "sub": 3}
    args = (numbers(2, 3, 6, 6), *([second[n]] if (n := function.__name__[:4]) in second else []))
    layer, inputs = TABLE[function](*args)
    output = layer.record(*inputs)[0]
    assert torch.allclose(output, function(*args), atol=1e-12)
    wrong = twin(*args)
    assert output.shape != wrong.shape or not torch.allclose(output, wrong, atol=1e-12)


def test_a_subclass_that_runs_as_its_parent_is_read_as_its_parent():
    class Named(nn.Conv2d):
        """Adds nothing to how it runs."""

    class Scaled(nn.Conv2d):
        def forward(self, x):
            return 2 * super().forward(x)

    class Twice(Scaled):
        """Inherits another way to run."""

    assert reader_for(Named(1, 1, 1)) is TABLE[nn.Conv2d]
    assert reader_for(Scaled(1, 1, 1)) is None
    assert reader_for(Twice(1, 1, 1)) is None
    assert reader_for(nn.MultiheadAttention(4, 1)) is None
    assert reader_for(nn.ReLU6()) is TABLE[nn.ReLU6]


@pytest.mark.parametrize(
    "function",
    [F.max_pool2d, F.avg_pool2d, F.adaptive_max_pool2d, F.adaptive_avg_pool2d],
)
def test_a_map_of_each_sample_is_not_taken_for_channels_of_one(function):
    """(batch, rows, cols) into a 2-d pool: torch pools rows and columns, not columns alone."""
    assert TABLE[function](numbers(3, 6, 6), 2) is None
    layer, inputs = TABLE[function](numbers(3, 1, 6, 6), 2)
    assert isinstance(layer, MirroredLayer)
    assert torch.equal(layer.record(*inputs)[0], function(numbers(3, 1, 6, 6), 2))
