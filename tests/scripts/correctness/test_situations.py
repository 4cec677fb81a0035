"""Rows of the table about models that are not what a trace of their code shows."""

from contextlib import nullcontext

import pytest
import torch

from tests.scripts.correctness.test_run import SITUATIONS, cells, nothing, ours_is_right, peers


@pytest.mark.parametrize("name", SITUATIONS)
def test_our_column(name):
    ours_is_right(SITUATIONS[name])


def without_hooks(model, monkeypatch):
    model.conv1._forward_hooks.clear()


def stale(model, monkeypatch):
    model.conv2._forward_pre_hooks.clear()
    model.conv2.weight = model.conv2.weight.double()


def not_normalised(model, monkeypatch):
    monkeypatch.setattr(torch, "is_tensor", lambda x: False)


def with_grad(model, monkeypatch):
    monkeypatch.setattr(torch, "no_grad", nullcontext)


def of_another_layer(model, monkeypatch):
    def forward(model, x):
        return torch.relu(model.conv2(torch.relu(model.conv1(x)))).amax((2, 3))

    monkeypatch.setattr(type(model), "forward", forward)


def compiled(model, monkeypatch):
    """Nothing: the reference does not see into the block either, but into its twin."""


ANOTHER = {
    "a forward hook on a convolution": without_hooks,
    "`weight_norm`, then new weights": stale,
    "`if torch.is_tensor(x)`": not_normalised,
    "a scale made under `no_grad`": with_grad,
    "`F.relu` beside a module `relu_1`": of_another_layer,
    "a block of `torch.jit.script`": compiled,
}


@pytest.mark.parametrize("name", ANOTHER)
def test_a_situation_that_is_passed_over_shows(name, monkeypatch):
    """Planted: each row's map as it is where what the row is about is left out."""
    asked = cells.question(SITUATIONS[name])

    def passed_over(model, image, target, method, scores=""):
        with monkeypatch.context() as patches:
            ANOTHER[name](model, patches)
            return cells.reference(model, image, target, method)

    for method in cells.METHODS:
        wrong = cells.cell(peers.Peer("wrong", "deconvnet", passed_over), method, asked)
        assert wrong.error > 0.01, (method, wrong)


def test_situations_without_a_right_map():
    assert {name for name, case in SITUATIONS.items() if not cells.question(case).expected} == {
        "own `autograd.Function`", "a GRU after a convolution", "a part in int8"
    }  # fmt: skip
    assert cells.question(SITUATIONS["a part in int8"]).gradient is None
    zeros = cells.row(SITUATIONS["a part in int8"], [peers.Peer("a", "deconvnet", nothing)])
    assert str(zeros["guided"]["a"]) == "another"
