"""Casts: the signal goes back in the precision it came in."""

import pytest
import torch

from deconvnet.layers import TABLE
from deconvnet.layers.casting import Casting
from tests.support.layer_laws import numbers


@pytest.mark.parametrize(
    ("name", "args", "dtype"),
    [
        ("float", (), torch.float32),
        ("double", (), torch.float64),
        ("half", (), torch.float16),
        ("bfloat16", (), torch.bfloat16),
        ("to", (torch.float32,), torch.float32),
        ("to", ("cpu",), torch.float64),
        ("type", (torch.float32,), torch.float32),
        ("cpu", (), torch.float64),
    ],
)
def test_casts(name, args, dtype):
    x = numbers(2, 3)
    layer, (input,) = TABLE[name](x, *args)
    output, record = layer.record(input)
    assert output.dtype == dtype
    assert torch.equal(output, x.to(dtype))
    signal = numbers(4, 3).to(dtype)
    (below,) = layer.mirror(signal, record.take(torch.tensor([1, 0, 0, 1])))
    assert below.dtype == x.dtype
    assert torch.equal(below, signal.double())
    assert layer.window("anything", record) == ("anything",)


@pytest.mark.parametrize("name", ["to", "type_as"])
def test_like_another_tensor(name):
    x, other = numbers(2, 3), numbers(2, 3).float()
    layer, inputs = TABLE[name](x, other)
    output, record = layer.record(*inputs)
    assert output.dtype == torch.float32
    below, nothing = layer.mirror(output, record)
    assert below.dtype == torch.float64
    assert nothing is None


def test_integers_carry_no_signal():
    x = numbers(2, 3)
    assert TABLE["to"](x, torch.int64) is None
    assert TABLE["double"](x.int()) is None
    assert isinstance(TABLE["double"](x)[0], Casting)
