"""Any operation is mirrored by its own vector-Jacobian product."""

import operator

import pytest
import torch
import torch.nn.functional as F

from deconvnet.layers import TABLE, Local, PerSample
from deconvnet.layers.local import along
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, check_call, numbers, positive


@pytest.mark.parametrize(
    "function",
    [
        torch.sin,
        lambda x: x.cumsum(1),
        lambda x: x / x.norm(dim=1, keepdim=True),
        lambda x: x - x.mean(0),  # mixes the samples
        lambda x: torch.stack([x, 2 * x], 1),
        lambda x: x.amax((1, 2)),
    ],
)
def test_local(function):
    check_layer(Local(function), numbers(3, 4, 5), forward=function)


def test_local_of_several_inputs():
    queries, keys, values = numbers(2, 5, 4), numbers(2, 6, 4, seed=1), numbers(2, 6, 3, seed=2)
    attend = F.scaled_dot_product_attention
    check_layer(Local(attend), queries, keys, values, forward=attend)


def test_local_of_tuples_and_to_tuples():
    def exchange(pair):
        return {"sum": pair[0] + pair[1], "first": (pair[0], 3, None)}

    check_layer(Local(exchange), (numbers(2, 3), numbers(2, 3, seed=1)), forward=exchange)


def test_local_where_only_some_outputs_carry_a_signal():
    def largest(x):
        return x.max(1)

    check_layer(Local(largest), numbers(3, 4, 5), forward=lambda x: tuple(x.max(1)))
    values, record = Local(largest).record(numbers(3, 4, 5))
    assert record.outputs[1] is None  # which one it was is a whole number
    assert not record.silent


def test_local_is_exact_for_random_operations():
    """The graph of this very run is kept, so what was dropped is dropped on the way back too."""
    x = positive(2, 3, 4)
    output, record = Local(lambda x: F.dropout(x, 0.5, True)).record(x)
    (back,) = Local(F.dropout).mirror(torch.ones_like(x), record)
    assert torch.equal(back != 0, output != 0)


def test_local_that_writes_in_place_leaves_its_inputs_alone():
    def doubled(x):
        return x.mul_(2).exp_()

    check_layer(Local(doubled), numbers(2, 3), forward=lambda x: (2 * x).exp())


def test_local_of_what_stops_the_signal():
    layer = Local(torch.argmax)
    _, record = layer.record(numbers(2, 3))
    assert record.silent
    assert layer.mirror(None, record) == (None,)


def test_local_mirrors_only_what_arrives():
    layer = Local(lambda x: (x.sin(), x.cos()))
    x = numbers(2, 3)
    _, record = layer.record(x)
    (back,) = layer.mirror((None, torch.ones_like(x)), record)
    assert torch.allclose(back, -x.sin())


def test_local_sees_everything():
    layer = Local(torch.sin)
    _, record = layer.record(numbers(2, 3))
    assert not record.separable
    (window,) = layer.window(None, record)
    inside = [i.clipped(n) for i, n in zip(window, (2, 3), strict=True)]
    assert [(int(i.start), int(i.stop)) for i in inside] == [(0, 2), (0, 3)]


@pytest.mark.parametrize(
    "function", ["exp", "log", "sqrt", "abs", torch.exp, torch.log, torch.sqrt, torch.rsqrt]
)
def test_functions_of_single_places(function):
    check_call(function, positive(3, 2, 4), exact=True)


@pytest.mark.parametrize("function", ["pow", torch.pow, operator.pow])
def test_powers(function):
    check_call(function, positive(3, 2, 4), 3, exact=True)
    assert TABLE[function](positive(2), positive(2)) is None
    assert TABLE[torch.abs](numbers(2)) is not None


@pytest.mark.parametrize("function", [F.softmax, torch.softmax, "softmax", F.log_softmax])
@pytest.mark.parametrize("dim", [1, -1])
def test_softmax(function, dim):
    check_call(function, numbers(3, 4, 5), dim, exact=True)
    assert TABLE[function](numbers(3, 4), 0) is None  # the batch
    assert TABLE[function](numbers(3, 4)) is None


def test_the_law_catches_a_window_of_softmax_that_is_too_small():
    layer, (x,) = TABLE[F.softmax](numbers(3, 4, 5), 1)
    small = PerSample(layer.function, along(2))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(small, x)


def test_the_law_catches_a_random_operation_run_again():
    """Mirroring by running anew is right only for what gives the same twice."""
    again = PerSample(lambda x: F.dropout(x, 0.5, True))
    with pytest.raises(LawBroken):
        check_layer(again, numbers(3, 40))


def test_the_law_catches_a_graph_whose_inputs_were_detached():
    wrong = Planted(Local(torch.sin), back=lambda s, record: (None,))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(wrong, numbers(2, 3), forward=torch.sin)


def test_an_operation_may_write_into_a_view_of_its_input():
    def first_column_doubled(x):
        x[:, 0] += x[:, 0]
        return x.exp()

    inputs = numbers(2, 3)
    before = inputs.clone()
    check_layer(
        Local(first_column_doubled),
        inputs,
        forward=lambda x: (x * torch.tensor([2.0, 1, 1], dtype=x.dtype)).exp(),
    )
    assert torch.equal(inputs, before)
