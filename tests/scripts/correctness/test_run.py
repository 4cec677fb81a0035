"""The program that makes the correctness table, and the table in its README."""

import json

import pytest
import torch

from scripts.correctness import run
from scripts.correctness.cases import CASES
from scripts.correctness.peers import PEERS


@pytest.fixture
def one_row(monkeypatch):
    monkeypatch.setattr(run, "CASES", [case for case in CASES if case.name == "`x.relu()`"])
    monkeypatch.setattr(torch, "set_num_threads", lambda threads: None)


@pytest.fixture
def no_peers(monkeypatch):
    ours, *others = PEERS
    monkeypatch.setattr(type(ours), "version", property(lambda peer: "1" * (peer is ours)))


@pytest.mark.usefixtures("no_peers", "one_row")
def test_it_runs_without_peers(capsys, tmp_path):
    run.main(["--markdown", str(tmp_path / "table.md")])
    table = capsys.readouterr().out
    assert table == (tmp_path / "table.md").read_text(encoding="utf-8")
    head, _, row, _, made = table.splitlines()
    assert head.count("|") == row.count("|") == 9
    assert [cell.strip() for cell in row.split("|")][2:5] == ["<1e-12", *["not installed"] * 2]
    assert f"torch {torch.__version__.split('+')[0]}" in made


@pytest.mark.usefixtures("one_row")
def test_figures_to_read_by_machine(capsys):
    run.main(["--json"])
    found = json.loads(capsys.readouterr().out)
    names = {peer.distribution for peer in PEERS}
    assert set(found["versions"]) == {*names, "torch", "torchvision", "numpy", "Python"}
    cell = found["models"]["`x.relu()`"]["guided"]["deconvnet"]
    assert cell == {"error": cell["error"], "gradient": False, "said": ""}
    assert cell["error"] <= 1e-10


@pytest.mark.usefixtures("no_peers", "one_row")
def test_the_readme_is_not_filled_with_holes(monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(run, "README", tmp_path / "README.md")
    with pytest.raises(SystemExit):
        run.main(["--readme"])
    assert "captum, zennit, grad-cam not installed; pip install" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_the_readme_has_every_row_and_our_column_in_it():
    text = run.README.read_text(encoding="utf-8")
    _, _, rest = text.partition("<!-- correctness -->")
    table, found, _ = rest.partition("<!-- /correctness -->")
    assert found
    lines = [[c.strip() for c in line.split("|")[1:-1]] for line in table.splitlines()]
    rows = {line[0]: line[1:] for line in lines if len(line) == 8}
    names = ["model", "---", *(case.name for case in CASES)]
    assert list(rows) == names, "refresh it: scripts/correctness/run.py --readme"
    ours = [i for i, name in enumerate(rows["model"]) if name.endswith(": deconvnet")]
    assert len(ours) == 2
    for case in CASES:
        right = "raises" if case.unruled or case.refused else "<1e-12"
        assert {rows[case.name][i] for i in ours} == {right}, case.name
