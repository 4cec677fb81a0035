"""Matrix products, einsum and operations of several tensors keep the laws."""

import operator

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import TABLE
from deconvnet.layers.linear import Linear
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, check_call, numbers, positive

MATRICES = [
    ((3, 2, 4), (3, 4, 5)),
    ((3, 2, 2, 4), (3, 2, 4, 3)),
    ((3, 1, 2, 4), (3, 2, 4, 3)),
    ((3, 2, 4), (4, 5)),
    ((2, 4), (3, 4, 2)),
    ((3, 2, 4), (1, 4, 2)),
    ((3, 3, 3), (3, 3)),  # lengths that could be taken for the batch
]


@pytest.mark.parametrize("sizes", MATRICES, ids=str)
@pytest.mark.parametrize("function", [torch.matmul, operator.matmul, "matmul"])
def test_matrix_products(function, sizes):
    check_call(function, positive(*sizes[0]), positive(*sizes[1], seed=1), exact=True)


def test_batches_of_matrices():
    for function in (torch.bmm, "bmm"):
        check_call(function, positive(3, 2, 4), positive(3, 4, 2, seed=1), exact=True)


def test_a_parameter_is_a_linear_layer_and_another_matrix_mixes_the_samples():
    x, weight = positive(3, 4), nn.Parameter(positive(4, 2, seed=1))
    layer, inputs = call(torch.matmul, x, weight)
    assert isinstance(layer, Linear)
    weight.requires_grad_(False)
    check_layer(layer, *inputs, forward=lambda x: x @ weight, exact_window=True)
    assert TABLE[torch.matmul](x, positive(4, 2)) is None
    assert TABLE[torch.matmul](x[None], positive(4)) is None


@pytest.mark.parametrize(
    ("equation", "sizes"),
    [
        ("bij,bjk->bik", ((3, 2, 4), (3, 4, 2))),
        ("bhqd, bhkd -> bhqk", ((3, 2, 2, 4), (3, 2, 3, 4))),
        ("oi,bip->bop", ((2, 4), (3, 4, 2))),
        ("nchw,nkhw->nck", ((2, 3, 2, 2), (2, 4, 2, 2))),
        ("bij->bji", ((3, 2, 4),)),
        ("bij->b", ((3, 2, 4),)),
    ],
)
def test_einsum(equation, sizes):
    tensors = [positive(*size, seed=i) for i, size in enumerate(sizes)]
    check_call(torch.einsum, equation, *tensors, exact=True)


def test_what_einsum_leaves_to_autograd():
    x = positive(3, 2, 2)
    for equation in ("bij,bkj", "...ij->...ji", "bij,jbk->bik", "bij->jib", "bij->", "bij->ji"):
        operands = [x] * (1 + equation.count(","))
        found = TABLE[torch.einsum](equation, *operands)
        assert found is None or found[0].batched != (True, True), equation
    assert TABLE[torch.einsum](x, [0, 1, 2]) is None


@pytest.mark.parametrize("causal", [False, True])
def test_attention(causal):
    query, key, value = (numbers(2, 3, n, 4, seed=n) for n in (3, 5, 5))
    check_call(F.scaled_dot_product_attention, query, key, value, is_causal=causal)
    read = TABLE[F.scaled_dot_product_attention]
    assert read(query, key, value, dropout_p=0.1) is None
    assert read(query, key, value, torch.ones(3, 5, dtype=torch.bool)) is None
    assert read(query, key[:1], value[:1]) is None


@pytest.mark.parametrize("sizes", [((3, 4, 2),) * 3, ((4, 1), (1, 4, 1), (3, 4, 2))], ids=str)
@pytest.mark.parametrize("function", [torch.addcmul, "addcmul", torch.addcdiv, "addcdiv"])
def test_products_that_are_added(function, sizes):
    one, two, three = (positive(*size, seed=i) for i, size in enumerate(sizes))
    check_call(function, one, two, three, value=0.5, exact=True)


def test_the_greater_and_the_chosen():
    x, y = numbers(3, 4), numbers(3, 4, seed=1)
    check_call(torch.maximum, x, y)
    check_call("minimum", x, y)
    layer, inputs = call(torch.where, x > 0, x, y)
    output, record = layer.record(*inputs)
    nothing, left, right = layer.mirror(torch.ones_like(x), record)
    assert nothing is None
    assert torch.equal(left, (x > 0).double())
    assert torch.equal(right, (x <= 0).double())
    assert torch.equal(output, torch.where(x > 0, x, y))
    assert TABLE[torch.where](x > 0, x, 0.0) is None
    assert TABLE[torch.maximum](x.sum(), y.sum()) is None


def test_the_law_catches_factors_that_are_exchanged():
    layer, inputs = call(torch.matmul, positive(3, 2, 2), positive(3, 2, 2, seed=1))
    swapped = Planted(layer, back=lambda s, record: layer.mirror(s, record)[::-1])
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(swapped, *inputs)


def test_the_law_catches_a_factor_taken_for_a_batch():
    layer, inputs = call(torch.matmul, positive(3, 2, 4), positive(3, 4, 2, seed=1))
    wrong = type(layer)(layer.function, (True, False), layer.sees)
    with pytest.raises((LawBroken, RuntimeError)):
        check_layer(wrong, *inputs)


def test_the_law_catches_a_window_without_the_other_rows():
    layer, inputs = call(torch.einsum, "bij,bjk->bik", positive(3, 2, 4), positive(3, 4, 2))
    narrow = Planted(layer, sees=lambda w: (*w[:2], w[1]))
    with pytest.raises(LawBroken, match="window law"):
        check_layer(narrow, *inputs)
