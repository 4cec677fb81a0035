"""The table against the peers: our column, and that a wrong column would show."""

import json
import re
import sys
from importlib.metadata import PackageNotFoundError
from pathlib import Path

import pytest
import torch
from torch import nn

from scripts.correctness import cases, cells, peers
from scripts.correctness import run as correctness
from scripts.correctness import situations as kinds

ROOT = Path(__file__).parents[3]
BY_DEFAULT = ("alexnet", "squeezenet1_1", "mobilenet_v2", "efficientnet_b0")
TOLERANCE = 1e-10

OURS = peers.PEERS["deconvnet"]
SPELLINGS = {case.name: case for case in cases.spellings()}
SITUATIONS = {case.name: case for case in kinds.situations()}
NETWORKS = {case.name: case for case in cases.networks()}
SOME = [
    pytest.param(name, marks=() if name in BY_DEFAULT else pytest.mark.slow) for name in NETWORKS
]


def ours_is_right(case):
    for method, row in cells.row(case, [OURS]).items():
        (cell,) = row.values()
        if case.refused:
            assert re.match("raises: (UnmirroredError|UntraceableError|ValueError): ", cell.said)
            assert re.search(rf"\b{case.refused}\b", cell.said), (method, cell)
        elif case.unruled:
            assert cell.said.startswith("raises: UnmirroredError"), (method, cell)
            assert f"has no rule for {case.unruled};" in cell.said
        else:
            assert cell.error <= TOLERANCE, (method, cell)
            assert str(cell) == "<1e-12"


@pytest.mark.parametrize("name", SPELLINGS)
def test_our_column_of_spellings(name):
    ours_is_right(SPELLINGS[name])


@pytest.mark.parametrize("name", SOME)
def test_our_column_of_networks(name):
    ours_is_right(NETWORKS[name])


def test_the_rows_are_those_that_were_asked_for():
    assert len(SPELLINGS) == 12
    assert {"googlenet", "densenet121", "inception_v3", *BY_DEFAULT} <= set(NETWORKS)
    twice = SPELLINGS["one `nn.ReLU()`, called twice"].make()
    assert twice.first is twice.second
    assert SPELLINGS["`nn.ReLU(inplace=True)`"].make().first.inplace


def test_the_smallest_case_is_the_one_that_can_be_done_by_hand():
    asked = cells.question(SPELLINGS["`relu(h) + 5 * h`"])
    assert asked.expected["deconvnet"].flatten().tolist() == [12, -18]
    assert asked.expected["guided"].flatten().tolist() == [12, -15]
    assert asked.gradient.flatten().tolist() == [12, -15]


def test_relu6_meets_its_ceiling():
    clipped, other = (SPELLINGS["`nn.ReLU6()`"], SPELLINGS["`nn.ReLU()`, one a place"])
    clipped, other = cells.question(clipped), cells.question(other)
    assert cells._error(clipped.expected["guided"], other.expected["guided"]) > 0.01


def gradient(model, image, target, method, scores=""):
    return cells.reference(model, image, target, "autograd")


def swapped(model, image, target, method, scores=""):
    other = {"deconvnet": "guided", "guided": "deconvnet"}[method]
    return peers.ours(model, image, target, other)


def a_little_off(model, image, target, method, scores=""):
    return peers.ours(model, image, target, method) * 1.0005


def one_pixel_off(model, image, target, method, scores=""):
    maps = peers.ours(model, image, target, method)
    maps[0, 0, 7, 7] += maps.abs().max() / 1000
    return maps


def nothing(model, image, target, method, scores=""):
    return torch.zeros_like(image)


def not_a_number(model, image, target, method, scores=""):
    return torch.full_like(image, torch.nan)


def flat(model, image, target, method, scores=""):
    return peers.ours(model, image, target, method).sum(1)


def broken(model, image, target, method, scores=""):
    raise RuntimeError("view and is being modified inplace")


WRONG = {
    gradient: r"\*\*\d.*\*\* \(gradient\)",
    swapped: r"\*\*\d[.\d]*\*\*$",
    a_little_off: r"\*\*0.0005\*\*$",
    one_pixel_off: r"\*\*0.001\*\*$",
    nothing: r"\*\*1\*\*$",
    not_a_number: r"\*\*nan\*\*$",
    flat: r"a map of shape \(1, 15, 15\)$",
    broken: "raises$",
}


@pytest.mark.parametrize("ask", WRONG, ids=lambda ask: ask.__name__)
@pytest.mark.parametrize("method", cells.METHODS)
def test_a_wrong_peer_shows(ask, method):
    """Planted: every way in which a toolkit can be wrong, in a row where ours is right."""
    case = SPELLINGS["`nn.ReLU()`, one a place"]
    found = cells.row(case, [peers.Peer("wrong", "deconvnet", ask), OURS])[method]
    assert str(found["deconvnet"]) == "<1e-12"
    assert re.match(WRONG[ask], str(found["wrong"])), found["wrong"]


def test_a_gradient_where_there_is_no_rule_shows():
    case = SPELLINGS["`nn.GELU()`"]
    wrong = [peers.Peer("a", "deconvnet", gradient), peers.Peer("b", "deconvnet", nothing)]
    assert [str(cell) for cell in cells.row(case, wrong)["guided"].values()] == [
        "gradient", "another",
    ]  # fmt: skip


def test_toolkits_get_a_copy_each():
    def spoil(model, image, target, method, scores=""):
        with torch.no_grad():
            image.zero_()
            for parameter in model.parameters():
                parameter.zero_()
        return image

    case = SPELLINGS["`F.relu(x)`"]
    found = cells.row(case, [peers.Peer("spoiler", "deconvnet", spoil), OURS])
    assert found["guided"]["deconvnet"].error <= TOLERANCE


@pytest.mark.parametrize("scale", [1, 0])
def test_a_row_that_proves_nothing_is_refused(scale):
    def linear():
        model = nn.Sequential(nn.Flatten(), nn.Linear(12, 2)).double()
        with torch.no_grad():
            model[1].weight.mul_(scale)
        return model

    case = cases.Case("linear", linear, torch.ones(1, 3, 2, 2).double())
    with pytest.raises(ValueError, match="linear: the reference's map of class . is zero or"):
        cells.question(case)


@pytest.mark.parametrize("name", ["captum", "zennit", "pytorch-grad-cam"])
def test_a_peer_that_is_installed_is_asked_rightly(name):
    peer = peers.PEERS[name]
    if not peer.version:
        pytest.skip(f'{peer.distribution} is not installed: pip install -e ".[bench]"')
    for method, row in cells.row(SPELLINGS["`nn.ReLU()`, one a place"], [peer]).items():
        assert all(cell.error <= TOLERANCE for cell in row.values()), (method, row)


@pytest.fixture
def no_peers(monkeypatch):
    def version(distribution):
        raise PackageNotFoundError(distribution)

    monkeypatch.setattr(peers, "version", version)


@pytest.fixture
def one_row(monkeypatch):
    monkeypatch.setattr(correctness, "spellings", lambda: [SPELLINGS["`x.relu()`"]])
    for others in ("situations", "networks"):
        monkeypatch.setattr(correctness, others, list)


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["correctness.py", *map(str, arguments)])
    correctness.main()


@pytest.mark.usefixtures("no_peers", "one_row")
def test_it_runs_without_peers(monkeypatch, capsys, tmp_path):
    run(monkeypatch, "--markdown", tmp_path / "table.md")
    table = capsys.readouterr().out
    assert table == (tmp_path / "table.md").read_text(encoding="utf-8")
    head, _, row, _, made = table.splitlines()
    assert head.count("|") == row.count("|") == 9
    assert [cell.strip() for cell in row.split("|")][2:5] == ["<1e-12", *["not installed"] * 2]
    assert "captum (not installed)" in made
    assert f"torch {torch.__version__.split('+')[0]}" in made


@pytest.mark.usefixtures("one_row")
def test_figures_to_read_by_machine(monkeypatch, capsys):
    run(monkeypatch, "--json")
    found = json.loads(capsys.readouterr().out)
    assert set(found["versions"]) == {*peers.PEERS, "torch", "torchvision", "numpy", "Python"}
    cell = found["models"]["`x.relu()`"]["guided"]["deconvnet"]
    assert cell == {"error": cell["error"], "gradient": False, "said": ""}
    assert cell["error"] <= TOLERANCE


@pytest.mark.usefixtures("no_peers", "one_row")
def test_the_readme_is_not_filled_with_holes(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(correctness, "ROOT", tmp_path)
    with pytest.raises(SystemExit):
        run(monkeypatch, "--readme")
    assert "captum, zennit, grad-cam not installed; pip install" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_readme_has_every_row_and_our_column_in_it():
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    _, _, rest = text.partition(correctness.MARKS[0])
    table, found, _ = rest.partition(correctness.MARKS[1])
    assert found
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]
    rows = {line[0]: line[1:] for line in lines if len(line) == 8}
    known = {**SPELLINGS, **SITUATIONS, **NETWORKS}
    assert list(rows) == ["model", "---", *known], "refresh it: scripts/correctness/run.py --readme"
    ours = [i for i, name in enumerate(rows["model"]) if name.endswith(": deconvnet")]
    assert len(ours) == 2
    for name, case in known.items():
        assert {rows[name][i] for i in ours} == {
            "raises" if case.unruled or case.refused else "<1e-12"
        }, name


def test_outside_of_a_checkout_it_says_so(monkeypatch, tmp_path):
    monkeypatch.setattr(cases, "ROOT", tmp_path)
    with pytest.raises(FileNotFoundError, match="run the script from a checkout"):
        cases.of_tests.__wrapped__("reference")
