"""Helper functions that compute with sizes are no obstacle; those that see tensors are."""

import sys

import pytest
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from deconvnet.graph.fx_helpers import follow
from deconvnet.graph.graph import trace
from deconvnet.projection import receptive_field
from tests.support.everywhere import check_network
from tests.support.networks import noise


def missing(length, kernel, stride):
    """What "same" padding adds: so much that every place is the start of a step."""
    needed = (-(-length // stride) - 1) * stride + kernel - length
    return needed if needed > 0 else 0


def halves(total, *, odd=0):
    """Before and after, the odd cell after: two numbers at once."""
    if total + odd < 0:
        return 0, 0
    return total // 2, total - total // 2


def padded(x, kernel, stride):
    rows, columns = x.shape[-2:]
    top, bottom = halves(missing(rows, kernel, stride))
    left, right = halves(missing(columns, kernel, stride))
    return F.pad(x, (left, right, top, bottom))


class Same(nn.Module):
    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 4, 3, 2), nn.Conv2d(4, 4, 5, 3)

    def forward(self, x):
        x = F.relu(self.one(padded(x, 3, 2)))
        return self.two(padded(x, 5, 3))


@pytest.mark.parametrize("size", [(12, 12), (13, 10), (7, 17)])
def test_same_padding(size):
    check_network(Same().double(), noise(2, 3, *size))


def test_its_fields_are_exact_and_its_graph_serves_every_size():
    net = DeconvNet(Same().double())
    for size, box in (((24, 24), (11, 11)), ((25, 25), (11, 11))):
        assert receptive_field.box(net.geometry((3, *size)), "two", (1, 1)).size == box
    assert all(s.record.separable for s in net.geometry((3, 13, 10)).steps)


def test_the_functions_are_back_in_their_places():
    here = sys.modules[__name__]
    before = missing, halves, padded
    traced, _ = follow(Same())
    assert (here.missing, here.halves, here.padded) == before
    assert missing in {node.target for node in traced.nodes}
    assert halves in {node.target for node in traced.nodes}
    assert padded not in {node.target for node in traced.nodes}


def chosen(x):
    return F.relu(x) if x.sum() > 0 else x


class Choosing(nn.Module):
    def forward(self, x):
        return chosen(x)


def test_a_helper_that_sees_a_tensor_is_not_closed():
    """There may be an activation in it, which the policy would never meet."""
    before = chosen
    with pytest.raises(ValueError, match="chosen|cannot be traced"):
        trace(Choosing())
    assert sys.modules[__name__].chosen is before
