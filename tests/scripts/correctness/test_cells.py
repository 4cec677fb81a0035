"""The table against the peers: our column, and that a wrong column would show."""

import re
from contextlib import nullcontext

import pytest
import torch
from torch import nn

from scripts.correctness import cases, cells, peers
from scripts.correctness.cases import CASES, Case
from tests.support.reference import error

OURS, *OTHERS = peers.PEERS
QUICK = ("alexnet", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0")
TOLERANCE = 1e-10
BY_NAME = {case.name: case for case in CASES}
PLAIN = BY_NAME["`nn.ReLU()`, one a place"]
INT8 = BY_NAME["a part in int8"]
SOME = [
    pytest.param(case, id=name, marks=() if "`" in name or " " in name or name in QUICK else slow)
    for slow in [pytest.mark.slow]
    for name, case in BY_NAME.items()
]


@pytest.mark.parametrize("case", SOME)
def test_our_column(case):
    for method, row in cells.row(case, [OURS]).items():
        cell = row["deconvnet"]
        if case.refused:
            assert re.match("raises: (UnmirroredError|UntraceableError|ValueError): ", cell.said)
            assert re.search(rf"\b{case.refused}\b", cell.said), (method, cell)
        elif case.unruled:
            assert cell.said.startswith("raises: UnmirroredError"), (method, cell)
            assert f"has no rule for {case.unruled};" in cell.said
        else:
            assert cell.error <= TOLERANCE, (method, cell)
            assert str(cell) == "<1e-12"


def test_the_spellings_are_different_ones():
    twice = BY_NAME["one `nn.ReLU()`, called twice"].make()
    assert twice.first is twice.second
    assert BY_NAME["`nn.ReLU(inplace=True)`"].make().first.inplace
    clipped, other = cells.question(BY_NAME["`nn.ReLU6()`"]), cells.question(PLAIN)
    assert error(clipped.expected["guided"], other.expected["guided"]) > 0.01


def test_the_smallest_case_is_the_one_that_can_be_done_by_hand():
    asked = cells.question(BY_NAME["`relu(h) + 5 * h`"])
    assert asked.expected["deconvnet"].flatten().tolist() == [12, -18]
    assert asked.expected["guided"].flatten().tolist() == [12, -15]
    assert asked.gradient.flatten().tolist() == [12, -15]


def one_pixel_off(maps):
    maps[0, 0, 7, 7] += maps.abs().max() / 1000
    return maps


def raising(maps):
    raise RuntimeError("view and is being modified inplace")


def other(method):
    return {"deconvnet": "guided", "guided": "deconvnet"}[method]


# what a wrong toolkit makes of our maps, and how its cell must look
WRONG = {
    "a little off": (lambda maps: maps * 1.0005, r"\*\*0.0005\*\*$"),
    "one pixel off": (one_pixel_off, r"\*\*0.001\*\*$"),
    "nothing": (torch.zeros_like, r"\*\*1\*\*$"),
    "not a number": (lambda maps: maps * torch.nan, r"\*\*nan\*\*$"),
    "flat": (lambda maps: maps.sum(1), r"a map of shape \(1, 15, 15\)$"),
    "raising": (raising, "raises$"),
}


def wrong_peer(spoil):
    return peers.Peer("wrong", "deconvnet", lambda *asked: spoil(peers.ours(*asked)))


def gradient(model, image, target, method, scores):
    return cells.reference(model, image, target)


def swapped(model, image, target, method, scores):
    return peers.ours(model, image, target, other(method), scores)


ASKS = {
    **{name: (wrong_peer(spoil), shown) for name, (spoil, shown) in WRONG.items()},
    "gradient": (peers.Peer("wrong", "deconvnet", gradient), r"\*\*\d.*\*\* \(gradient\)"),
    "swapped": (peers.Peer("wrong", "deconvnet", swapped), r"\*\*\d[.\d]*\*\*$"),
}


@pytest.mark.parametrize("name", ASKS)
@pytest.mark.parametrize("method", cells.METHODS)
def test_a_wrong_peer_shows(name, method):
    """Planted: every way in which a toolkit can be wrong, in a row where ours is right."""
    peer, shown = ASKS[name]
    found = cells.row(PLAIN, [peer, OURS])[method]
    assert str(found["deconvnet"]) == "<1e-12"
    assert re.match(shown, str(found["wrong"])), found["wrong"]


def test_where_there_is_no_rule_a_gradient_shows():
    zeros = peers.Peer("b", "deconvnet", lambda model, image, *_: torch.zeros_like(image))
    wrong = [peers.Peer("a", "deconvnet", gradient), zeros]
    for_gelu = cells.row(BY_NAME["`nn.GELU()`"], wrong)["guided"]
    assert [str(cell) for cell in for_gelu.values()] == ["gradient", "another"]
    assert cells.question(INT8).gradient is None
    assert str(cells.row(INT8, [zeros])["guided"]["b"]) == "another"


def test_toolkits_get_a_copy_each():
    @torch.no_grad()
    def spoil(model, image, *_):
        for tensor in (image, *model.parameters()):
            tensor.zero_()
        return image

    found = cells.row(PLAIN, [peers.Peer("spoiler", "deconvnet", spoil), OURS])
    assert found["guided"]["deconvnet"].error <= TOLERANCE


@pytest.mark.parametrize("scale", [1, 0])
def test_a_row_that_proves_nothing_is_refused(scale):
    def linear():
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
        with torch.no_grad():
            model[1].weight.mul_(scale)
        return model

    case = Case("linear", linear, torch.ones(1, 3, 2, 2).double())
    with pytest.raises(ValueError, match="linear: the reference's map of class . is zero or"):
        cells.question(case)


@pytest.mark.parametrize("peer", OTHERS, ids=lambda peer: peer.name)
def test_a_peer_that_is_installed_is_asked_rightly(peer):
    if not peer.version:
        pytest.skip(f'{peer.distribution} is not installed: pip install -e ".[bench]"')
    for method, row in cells.row(PLAIN, [peer]).items():
        assert all(cell.error <= TOLERANCE for cell in row.values()), (method, row)


def without_hooks(model, patches):
    model.conv1._forward_hooks.clear()


def stale(model, patches):
    model.conv2._forward_pre_hooks.clear()
    model.conv2.weight = model.conv2.weight.double()


def not_normalised(model, patches):
    patches.setattr(torch, "is_tensor", lambda x: False)


def with_grad(model, patches):
    patches.setattr(torch, "no_grad", nullcontext)


def of_another_layer(model, patches):
    def forward(model, x):
        return torch.relu(model.conv2(torch.relu(model.conv1(x)))).amax((2, 3))

    patches.setattr(type(model), "forward", forward)


def compiled(model, patches):
    """Nothing: the reference does not see into the block either, but into its twin."""


PASSED_OVER = {
    "a forward hook on a convolution": without_hooks,
    "`weight_norm`, then new weights": stale,
    "`if torch.is_tensor(x)`": not_normalised,
    "a scale made under `no_grad`": with_grad,
    "`F.relu` beside a module `relu_1`": of_another_layer,
    "a block of `torch.jit.script`": compiled,
}


@pytest.mark.parametrize("name", PASSED_OVER)
def test_what_a_trace_passes_over_shows(name, monkeypatch):
    """Planted: each row's map as it is where what the row is about is left out."""
    asked = cells.question(BY_NAME[name])

    def passed_over(model, image, target, method, scores):
        with monkeypatch.context() as patches:
            PASSED_OVER[name](model, patches)
            return cells.reference(model, image, target, method)

    for method in cells.METHODS:
        wrong = cells.cell(peers.Peer("wrong", "deconvnet", passed_over), method, asked)
        assert wrong.error > 0.01, (method, wrong)


def test_only_rows_without_a_rule_or_a_gradient_have_no_right_map():
    small = [case for case in CASES if case.image is cases.NOISE or case.image is cases.LOUD]
    without = {case.name for case in small if not cells.question(case).expected}
    assert without == {case.name for case in small if case.unruled} | {INT8.name}
