"""Stack, unbind and expand keep the laws."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.layers import Interval
from deconvnet.layers.slicing import Item
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, numbers

X = (3, 4, 2)


@pytest.mark.parametrize("dim", [1, 2, -1, -2, 3])
def test_stack(dim):
    check_call(torch.stack, [numbers(*X, seed=i) for i in range(3)], dim, exact=True)


@pytest.mark.parametrize("dim", [1, 2, -1])
@pytest.mark.parametrize("function", [torch.unbind, "unbind"])
def test_unbind(function, dim):
    check_call(function, numbers(*X), dim, exact=True)


def test_along_the_batch_samples_are_mixed():
    check_call(torch.stack, [numbers(*X), numbers(*X, seed=1)], exact=True, separable=False)
    layer, (x,) = call(torch.unbind, numbers(*X))
    assert not layer.record(x)[1].separable


def test_one_entry_of_many():
    layer, (x,) = call("unbind", numbers(*X), 1)
    parts, record = layer.record(x)
    signal = numbers(3, 2, seed=1)
    (below,) = layer.mirror((None, signal, None, None), record)
    assert torch.equal(below[:, 1], signal)
    assert below.count_nonzero() == signal.numel()
    window = (Interval.whole(), Interval.at([0, 1]))
    (seen,) = layer.window(Item(1).window(window, Item(1).record(parts)[1])[0], record)
    assert (seen[1].start, seen[1].stop) == (1, 2)
    assert seen[2].start.tolist() == [0, 1]


@pytest.mark.parametrize(
    ("size", "wanted"),
    [
        ((3, 4, 1), (3, 4, 5)),
        ((3, 1, 1), (-1, 4, 5)),
        ((3, 4, 1), (-1, -1, -1)),
        ((1, 1, 2), (1, 3, 2)),
    ],
)
def test_expand(size, wanted):
    check_call("expand", numbers(*size), *wanted, exact=True)


def test_expand_takes_a_size_too():
    check_call("expand", numbers(3, 1), torch.Size((3, 2)), exact=True)


def test_a_repeated_batch_mixes_the_samples():
    for size, wanted in (((1, 3), (2, 3)), ((3, 2), (3, 3, 2))):
        layer, (x,) = call("expand", numbers(*size), *wanted)
        assert not layer.record(x)[1].separable
        check_layer(layer, x, exact_window=True)


class Like(nn.Module):
    """A gate expanded to the size of what it gates, and a view like another tensor."""

    def forward(self, x):
        gate = x.mean((2, 3), keepdim=True).expand_as(x)
        return x.flatten(2).view_as(x) * gate + x.flatten().reshape_as(x)


def test_sizes_of_other_tensors():
    images = numbers(2, 3, 4, 5)
    net = DeconvNet(Like(), "gradient")
    recording = net.record(images)
    found = net.project(recording, layer=net.graph.returned[0], channel=1, position=(2, 3))
    images.requires_grad_()
    maps = Like()(images)[:, 1, 2, 3]
    expected = torch.autograd.grad((maps**2 / 2).sum(), images)[0]  # seeds are the activations
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)
    kinds = {step.name: step.record.separable for step in recording.steps}
    assert kinds["expand_as"]
    assert kinds["view_as"]


def test_the_law_catches_parts_in_another_order():
    layer, inputs = call(torch.stack, [numbers(*X), numbers(*X, seed=1)], 1)
    swapped = Planted(layer, back=lambda s, record: layer.mirror(s, record)[::-1])
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(swapped, *inputs)


def test_the_law_catches_a_signal_that_is_not_summed():
    layer, (x,) = call("expand", numbers(3, 4, 1), 3, 4, 5)
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=lambda s, record: (s[..., :1],)), x)


def test_the_law_catches_a_window_of_every_part():
    class Every(Planted):
        def window(self, window, record):
            return (window[:1] + window[2:],) * 2

    layer, inputs = call(torch.stack, [numbers(*X), numbers(*X, seed=1)], 1)
    with pytest.raises(LawBroken, match="window law"):
        check_layer(Every(layer), *inputs, exact_window=True)
