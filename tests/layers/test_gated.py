"""Gated linear units: a product whose gate no paper gives a rule for."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet, UnmirroredError
from deconvnet.layers import TABLE, Policies, reader_for, rectifier
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import numbers


@pytest.mark.parametrize("dim", [1, -1, 2])
def test_it_is_the_product_rule(dim):
    x = numbers(2, 4, 6, 8)
    for layer, inputs in (TABLE[F.glu](x, dim), reader_for(nn.GLU(dim))(nn.GLU(dim), x)):
        check_layer(layer, *inputs, forward=lambda z: F.glu(z, dim))
        with pytest.raises(LawBroken):
            check_layer(layer, *inputs, forward=lambda z: 1.0005 * F.glu(z, dim))


@pytest.mark.parametrize("policy", ["deconvnet", "guided", "rectgrad"])
def test_without_a_remedy_it_is_refused(policy):
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 1), nn.GLU(1)), policy)
    with pytest.raises(UnmirroredError, match=f"at 1: .*{policy}.*GLU.*elsewhere"):
        net.record(torch.rand(1, 3, 5, 5))


def test_the_remedies():
    x = numbers(2, 4, 3)
    signal = torch.randn(2, 2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    origin = x.clone().requires_grad_()
    (plain,) = torch.autograd.grad(F.glu(origin, 1), origin, signal, retain_graph=True)
    (positive,) = torch.autograd.grad(F.glu(origin, 1), origin, signal.clamp(min=0))
    for elsewhere, expected in (("derivative", plain), ("rectify", positive)):
        layer, inputs = TABLE[F.glu](x, 1)
        layer = layer.under(Policies(rectifier("guided"), elsewhere))
        _, record = layer.record(*inputs)
        (found,) = layer.mirror(signal, record)
        torch.testing.assert_close(found, expected)
    assert not torch.allclose(plain, positive)
