"""What only moves values keeps the laws: flatten, view, squeeze, permute, dropout."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import StochasticDepth, stochastic_depth

from deconvnet.layers import TABLE, Interval
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, check_module, check_windows, numbers

X = (3, 4, 2, 5)
SHAPES = [
    (X, (3, 40)),
    (X, (3, 8, 5)),
    (X, (3, 2, 2, 2, 5)),  # groups of channels
    (X, (3, 5, 8)),  # across rows
    (X, (3, 2, 20)),
    (X, (3, 1, 4, 10)),
    (X, (3, 4, 2, 5, 1)),
    ((3, 6), (3, 2, 3)),
    ((3, 1, 4, 1), (3, 4)),
    ((3, 4), (3, 1, 4, 1)),
    ((3, 1, 1), (3, 1)),
    ((3, 3, 3), (3, 9)),
]


@pytest.mark.parametrize(("before", "after"), SHAPES, ids=str)
def test_reshape(before, after):
    x = numbers(*before)
    check_call(torch.reshape, x, after)
    check_call("reshape", x, *after)
    check_call("view", x, after)


@pytest.mark.parametrize("size", [(-1,), (6, 2, 2, 5), (1, 3, 4, 2, 5), (2, 6, 10)], ids=str)
def test_reshape_that_breaks_up_the_batch_mixes_the_samples(size):
    check_call(torch.reshape, numbers(*X), size, separable=False)


def test_a_view_as_another_type_is_left_to_autograd():
    assert TABLE["view"](numbers(2, 4), torch.int64) is None
    assert TABLE["view"](numbers(2, 4), size=(8,)) is None


def test_flatten():
    x = numbers(*X)
    check_call(torch.flatten, x, 1)
    check_call("flatten", x, 2, -1)
    check_call("flatten", x, separable=False)
    check_module(nn.Flatten(), x)
    check_module(nn.Flatten(1, 2), x)
    check_module(nn.Unflatten(1, (2, 2)), x)
    check_call("unflatten", x, 1, (2, 2))


def test_axes_of_length_one_come_and_go():
    x = numbers(3, 1, 4, 1)
    check_call(torch.squeeze, x, exact=True)
    check_call("squeeze", x, -1, exact=True)
    check_call(torch.squeeze, x, 2, exact=True)  # four long: it stays
    check_call(torch.unsqueeze, x, 1, exact=True)
    check_call("unsqueeze", x, -1, exact=True)
    check_call(torch.unsqueeze, x, 0, exact=True, separable=False)


def test_a_single_sample_may_lose_its_batch():
    check_call(torch.squeeze, numbers(1, 4, 1, 1), separable=False)


@pytest.mark.parametrize(
    ("before", "after"),
    [((2, 2, 3, 4), (2, 24)), ((2, 4, 3), (2, 2, 2, 3)), ((2, 6, 2), (2, 3, 4)), (X, (3, 1, 40))],
    ids=str,
)
def test_windows_of_single_places_are_exact(before, after):
    """Of ranges a window can only cover: a range that runs over a row's end is two pieces."""
    layer, (x,) = call(torch.reshape, numbers(*before), after)
    output, record = layer.record(x)
    source = torch.arange(x.numel()).reshape(before).reshape(after)
    for place in torch.cartesian_prod(*map(torch.arange, after)).tolist():
        (below,) = layer.window(tuple(map(Interval.at, place)), record)
        flat, expected = int(source[tuple(place)]), []
        for length in reversed(before):
            flat, here = divmod(flat, length)
            expected.insert(0, (here, here + 1))
        inside = [i.clipped(n) for i, n in zip(below, before, strict=True)]
        assert [(int(i.start), int(i.stop)) for i in inside] == expected


def test_windows_of_ranges_cover():
    layer, (x,) = call(torch.reshape, numbers(1, 4, 2, 5), (1, 5, 8))
    check_windows(layer, x, exact=False)


@pytest.mark.parametrize("start", [0, 3, 7, 39])
def test_an_empty_window_stays_empty(start):
    """What arrives at none of the places comes from none, as behind a concatenation."""
    layer, (x,) = call(torch.flatten, numbers(*X), 1)
    _, record = layer.record(x)
    for stop in (start, start - 2, -5):
        (below,) = layer.window((Interval.at(0), Interval(start, stop)), record)
        assert any(i.clipped(n).empty for i, n in zip(below, X, strict=True))


@pytest.mark.parametrize("order", [(0, 2, 3, 1), (0, 3, 1, 2), (0, 1, 3, 2)], ids=str)
def test_permute(order):
    check_call(torch.permute, numbers(*X), order, exact=True)
    check_call("permute", numbers(*X), *order, exact=True)
    check_windows(call(torch.permute, x := numbers(1, 2, 2, 3), order)[0], x)


def test_transpose_and_movedim():
    check_call(torch.transpose, numbers(*X), 1, -1, exact=True)
    check_call("transpose", numbers(*X), 2, 3, exact=True)
    check_call(torch.movedim, numbers(*X), 1, 3, exact=True)
    check_call(torch.permute, numbers(3, 3, 3), (0, 2, 1), exact=True)


def test_permute_that_moves_the_batch_mixes_the_samples():
    check_call(torch.permute, numbers(3, 3, 2), (1, 0, 2), exact=True, separable=False)


def test_what_does_nothing_at_evaluation():
    x = numbers(2, 3, 4, 5)
    modules = [nn.Identity(), nn.Dropout(), nn.Dropout2d(), nn.AlphaDropout()]
    for module in [*modules, StochasticDepth(0.5, "row"), nn.Dropout(inplace=True)]:
        check_module(module, x, exact=True)
    check_call(F.dropout, x, 0.5, False, exact=True)
    check_call(F.dropout2d, x, training=False, exact=True)
    check_call(stochastic_depth, x, 0.5, "row", False, exact=True)
    check_call("contiguous", x, exact=True)
    check_call("clone", x, exact=True)


def test_dropout_that_stays_on_is_left_to_autograd():
    assert TABLE[F.dropout](numbers(2, 3)) is None
    assert TABLE[stochastic_depth](numbers(2, 3), 0.5, "row") is None


def test_the_law_catches_another_order_of_the_same_values():
    layer, (x,) = call(torch.reshape, numbers(3, 4, 4), (3, 16))
    turned = Planted(layer, back=lambda s, r: (s.reshape(r.before).transpose(1, 2),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(turned, x)


def test_the_law_catches_a_permutation_applied_twice():
    layer, (x,) = call(torch.permute, numbers(3, 4, 4, 4), (0, 2, 3, 1))
    twice = Planted(layer, back=lambda s, r: (s.permute(r.order),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(twice, x)
    same = Planted(layer, sees=lambda w: (w[0], w[2], w[3], w[1]))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(same, x)


def test_the_law_catches_a_window_in_the_wrong_row():
    layer, (x,) = call(torch.flatten, numbers(3, 4, 5), 1)
    wrong = Planted(layer, sees=lambda w: (w[0], w[1].shifted(1), w[2]))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(wrong, x)
