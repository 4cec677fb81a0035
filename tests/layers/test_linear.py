"""Fully connected layers keep the laws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, check_module, numbers, positive


@pytest.mark.parametrize("size", [(5,), (4, 5), (3, 2, 5)])
def test_linear_on_the_last_axis(size):
    check_call(F.linear, numbers(2, *size), numbers(7, 5), numbers(7))
    check_call(F.linear, numbers(2, *size), positive(7, 5), exact=True)


def test_modules():
    torch.manual_seed(0)
    check_module(nn.Linear(5, 3), numbers(2, 5))
    check_module(nn.Linear(5, 3, bias=False), numbers(2, 4, 5))


def test_the_law_catches_a_bias_on_the_way_back():
    layer, inputs = call(F.linear, numbers(2, 4), numbers(4, 4), numbers(4))
    wrong = Planted(layer, back=lambda s, record: (s @ layer.weight + layer.bias,))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, *inputs)


def test_the_law_catches_a_matrix_that_is_not_transposed():
    layer, inputs = call(F.linear, numbers(2, 4), numbers(4, 4))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=lambda s, record: (s @ layer.weight.T,)), *inputs)


def test_the_law_catches_a_window_of_one_feature():
    layer, inputs = call(F.linear, numbers(2, 4), numbers(4, 4))

    class Narrow(Planted):
        def window(self, window, record):
            return (window,)

    with pytest.raises(LawBroken, match="window law"):
        check_layer(Narrow(layer), *inputs)
