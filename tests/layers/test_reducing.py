"""Greatest values, norms, deviations and mixing along axes keep the laws."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.models.swin_transformer import shifted_window_attention

from deconvnet.layers import TABLE
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import (
    Planted,
    call,
    check_call,
    check_module,
    numbers,
    positive,
    wider,
)

X = (3, 4, 2, 5)


@pytest.mark.parametrize("function", [torch.amax, "amax", torch.amin, torch.logsumexp, "logsumexp"])
@pytest.mark.parametrize("keepdim", [False, True])
def test_extremes(function, keepdim):
    check_call(function, numbers(*X), (2, 3), keepdim)
    check_call(function, numbers(*X), dim=-1, keepdim=keepdim)


@pytest.mark.parametrize("dim", [1, (2, 3), [-1]])
def test_norms_and_deviations(dim):
    x = numbers(*X)
    check_call("norm", x, p=2, dim=dim, keepdim=True, exact=True)
    check_call(torch.norm, x, 2, dim, exact=True)
    check_call(torch.linalg.vector_norm, x, 2, dim, exact=True)
    check_call("std", x, dim, keepdim=True, exact=True)
    check_call(torch.var, x, dim=dim, unbiased=False, exact=True)


def test_normalization_and_mixing():
    x = positive(*X)
    check_call(F.normalize, x, exact=True)
    check_call(F.normalize, x, 2.0, -1, exact=True)
    check_call(torch.cumsum, x, 2)
    check_call(torch.roll, x, (1, -1), (2, 3))
    check_call("flip", x, (2,))


def test_reductions_of_the_batch_mix_the_samples():
    x = numbers(*X)
    for found in (
        TABLE[torch.amax](x, (0, 2)),
        TABLE[torch.var](x),
        TABLE["norm"](x),
        TABLE[torch.roll](x, 1),
        TABLE[torch.cumsum](x, 0),
        TABLE[F.normalize](x, dim=0),
    ):
        assert found is None


def test_modules():
    check_module(nn.Softmax(1), numbers(*X))
    if hasattr(nn, "RMSNorm"):
        check_module(nn.RMSNorm(5), numbers(*X), exact=True)
        check_call(F.rms_norm, numbers(*X), (2, 5), exact=True)


def test_attention_in_windows():
    x, qkv, projection = numbers(2, 4, 4, 6), numbers(18, 6, seed=1), numbers(6, 6, seed=2)
    bias = numbers(1, 2, 4, 4, seed=3)
    read = TABLE[shifted_window_attention]
    layer, inputs = read(x, qkv, projection, bias, [2, 2], 2, [1, 1])
    check_layer(layer, *inputs)
    assert layer.record(*inputs)[1].separable


def test_the_law_catches_a_window_that_is_too_small():
    layer, inputs = call(torch.linalg.vector_norm, positive(*X), 2, 2)
    with pytest.raises(LawBroken, match="window law"):
        check_layer(Planted(layer, sees=lambda w: wider(w, -1, 0)), *inputs)


def test_the_law_catches_a_norm_taken_for_a_sum():
    layer, inputs = call(torch.linalg.vector_norm, positive(*X), 2, 2)
    spread = Planted(layer, back=lambda s, record: (s.unsqueeze(2).expand(X),))
    with pytest.raises(LawBroken, match="mirror law"):
        check_layer(spread, *inputs)
