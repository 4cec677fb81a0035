"""Slices, chunks and entries keep the laws."""

import operator

import pytest
import torch

from deconvnet.layers import TABLE, Interval
from deconvnet.layers.slicing import Item
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, check_windows, numbers, wider

X = (3, 4, 5, 6)
ALL = slice(None)
SLICES = [
    (ALL, slice(1, 3)),
    (ALL, ALL, slice(None, None, 2), slice(1, None, 2)),
    (ALL, ALL, slice(-3, None), slice(0, -1)),
    (Ellipsis, slice(2, 5)),
    (ALL, Ellipsis, slice(None, None, 3)),
    (ALL, 2),
    (ALL, -1, ALL, 0),
    (Ellipsis, 0, 0),
    (ALL, None, slice(0, 2)),
    (Ellipsis, None, None),
    (ALL, slice(0, 3), None, ALL, -2),
    ALL,
    Ellipsis,
]


@pytest.mark.parametrize("index", SLICES, ids=str)
def test_slices(index):
    check_call(operator.getitem, numbers(*X), index, exact=True)


@pytest.mark.parametrize("index", SLICES, ids=str)
def test_windows_are_what_is_seen(index):
    layer, (x,) = call(operator.getitem, numbers(1, 3, 4, 3), index)
    check_windows(layer, x)


@pytest.mark.parametrize(
    "index",
    [0, -1, slice(0, 2), slice(None, None, 2), (0, slice(1, 3)), None, (Ellipsis, 0, 0, 0, 0)],
    ids=str,
)
def test_slices_of_the_batch_mix_the_samples(index):
    check_call(operator.getitem, numbers(*X), index, exact=True, separable=False)


ROWS = torch.tensor([2, 0, 0])


@pytest.mark.parametrize(
    ("index", "separable"),
    [
        ((ALL, ROWS), True),
        ((ALL, [1, 3]), True),
        ((Ellipsis, ROWS), True),
        ((ALL, ALL, ROWS, slice(0, 2)), True),
        ((ALL, torch.tensor([True, False, True, True])), True),
        (ROWS, False),
        ((ROWS, ALL, ROWS), False),
        ((ALL, 1, ALL, ROWS), True),
        ((ALL, ROWS, ALL, ROWS), False),  # torch puts the rows before the batch here
    ],
    ids=str,
)
def test_indices_that_are_no_slices(index, separable):
    check_call(operator.getitem, numbers(*X), index, separable=separable)


@pytest.mark.parametrize("dim", [1, 2, -1])
@pytest.mark.parametrize("function", [torch.chunk, "chunk"])
def test_chunk(function, dim):
    check_call(function, numbers(3, 4, 5), 2, dim, exact=True)


@pytest.mark.parametrize("function", [torch.split, "split"])
@pytest.mark.parametrize("lengths", [2, [1, 3], [1, 1, 2]], ids=str)
def test_split(function, lengths):
    check_call(function, numbers(4, 4, 5), lengths, 1, exact=True)


def test_a_split_batch_mixes_the_samples():
    check_call(torch.split, numbers(3, 4), 2, exact=True, separable=False)


def test_a_chunk_from_which_nothing_comes_back():
    layer, (x,) = call(torch.chunk, numbers(2, 6, 3), 3, 1)
    _, record = layer.record(x)
    signal = numbers(2, 2, 3)
    (back,) = layer.mirror((None, signal, None), record)
    assert torch.equal(back, torch.cat([0 * signal, signal, 0 * signal], 1))
    window = (Interval.at(0), Interval.at(1), Interval.at(2))
    (below,) = layer.window((None, window, None), record)
    assert [(int(i.start), int(i.stop)) for i in below] == [(0, 1), (3, 4), (2, 3)]
    (below,) = layer.window((window, None, window), record)
    assert [(int(i.start), int(i.stop)) for i in below] == [(0, 1), (1, 6), (2, 3)]


@pytest.mark.parametrize("key", [0, 1, -1])
def test_entries_of_a_tuple(key):
    parts = (numbers(2, 3), numbers(2, 4), numbers(2, 5))
    layer, inputs = call(operator.getitem, parts, key)
    check_layer(layer, *inputs, exact_window=True)


def test_entries_of_a_dict():
    parts = {"low": numbers(2, 3), "high": numbers(2, 4)}
    layer, inputs = call(operator.getitem, parts, "high")
    check_layer(layer, *inputs, exact_window=True)


def test_slices_of_a_tuple_are_left_to_autograd():
    assert TABLE[operator.getitem]((numbers(2), numbers(2)), slice(1, None)) is None


def test_the_law_catches_another_entry():
    parts = (numbers(2, 3), numbers(2, 3, seed=1))

    class Another(Item):
        def mirror(self, signal, record):
            return Item(1 - self.key).mirror(signal, record)

    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Another(0), parts)


def test_the_law_catches_places_selected_twice_that_do_not_add_up():
    layer, (x,) = call(operator.getitem, numbers(3, 4), (ALL, ROWS))

    def overwrites(signal, record):
        back = signal.new_zeros(record.size)
        back[:, ROWS] = signal
        return (back,)

    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(Planted(layer, back=overwrites), x)


def test_the_law_catches_a_window_that_forgets_the_step():
    layer, (x,) = call(operator.getitem, numbers(3, 4, 9), (ALL, ALL, slice(1, None, 2)))
    forgets = Planted(layer, sees=lambda w: wider(w, 0, -1))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(forgets, x)


def test_the_law_catches_rows_where_torch_moves_the_batch():
    layer, (x,) = call(operator.getitem, numbers(3, 4, 5, 3), (ALL, ROWS, ALL, ROWS))

    class Claims(Planted):
        def record(self, x):
            output, record = self.layer.record(x)
            return output, type(record)(record.size, True)

    with pytest.raises((LawBroken, RuntimeError)):
        check_layer(Claims(layer), x)


@pytest.mark.parametrize("function", [torch.tensor_split, "tensor_split"])
@pytest.mark.parametrize("how", [2, (1, 3)])
def test_tensor_split(function, how):
    check_call(function, numbers(*X), how, 1, exact=True)
