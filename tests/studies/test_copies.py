"""The model gets its own memory back, and a copy is one only where nothing is shared."""

import copy
from contextlib import nullcontext

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from deconvnet import DeconvNet
from deconvnet.studies.copies import copied, kept, trusted
from tests.support.randomisable import Backwards, bits


class Replacing(nn.Linear):
    def reset_parameters(self):
        self.weight = nn.Parameter(torch.randn(self.out_features, self.in_features))


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, None])
def test_the_model_gets_its_own_memory_back(error):
    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.BatchNorm2d(3), Replacing(5, 5)).eval()
    tensors = [*model.parameters(), *model.buffers()]
    before, places = bits(model), [one.data_ptr() for one in tensors]
    with pytest.raises(error) if error else nullcontext(), kept(model):
        model[0].reset_parameters()
        model[1].running_mean.fill_(7)
        model[2].reset_parameters()
        if error:
            raise error
    after = [*model.parameters(), *model.buffers()]
    assert all(one is other for one, other in zip(tensors, after, strict=True))
    assert (bits(model), [one.data_ptr() for one in after]) == (before, places)


class Uncopied(Backwards):
    def __deepcopy__(self, memo):
        raise RuntimeError("not this one")


class Itself(Backwards):
    def __deepcopy__(self, memo):
        return self


class Shared(Backwards):
    def __deepcopy__(self, memo):
        return copy.copy(self)


class Closure(Backwards):
    """A copy of it calls the layer of the first model."""

    def __init__(self):
        super().__init__()
        self.call = lambda x: self.second(x)

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.kernel, self.shift))
        return self.top(F.relu(self.norm(self.middle(self.call(x)))).mean((2, 3)))


def test_what_is_no_copy_is_not_taken_for_one():
    net, image = DeconvNet(Backwards().eval()), torch.rand(2, 3, 9, 9)
    other = copied(net, image, "top")
    assert other is not None
    assert other.model is not net.model
    for kind in (Uncopied, Itself, Shared, Closure):
        assert copied(DeconvNet(kind().eval()), image, "top") is None, kind


def test_a_net_is_compared_with_its_model_once(monkeypatch):
    net, image = DeconvNet(Backwards().eval()), torch.rand(2, 3, 9, 9)
    net.record(image, "top")
    other, seen = trusted(net), []
    monkeypatch.setattr(
        "deconvnet.projection.check.checked_graphs.judge", lambda *a, **k: seen.append(a)
    )
    with kept(net.model):
        net.model.second.reset_parameters()
        assert torch.allclose(other.record(image, "top")["top"], net.model(image))
    assert not seen
