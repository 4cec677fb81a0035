"""The benchmark's tables, its file of figures, and the program; its times are not tested."""

import json
import sys
from dataclasses import replace

import pytest
import torch

from tests.support.benchmarked import ROOT, benchmark, case, mining, put_tiny, results, rows, table

MACHINE = results.Machine("cpu", "a processor", 2, {"deconvnet": "0", "torch": "1"})
ROW = rows.Row(
    units=4,
    images=2,
    error=3e-7,
    tied=1,
    exact=2e-13,
    seconds={"ours": [1.0, 2.0, 4.0], "captum": [9.0, 20.0, 44.0], "forward": [1.0, 1.0, 2.0]},
    forwarded=1000,
    way="cone",
    multiply_adds={"cone": 500, "full": 900, "taken": 500},
    peaks={"ours": 2**20, "captum": 5 * 2**19},
)
MINED = mining.Mining(
    "tiny", 3, 19, 2, 5,
    {"forward": [1.0], "loader": [1.01], "plain": [1.2], "ours": [1.04]},
    {"forward": [0.5], "ours": [0.51]}, [0.5],
)  # fmt: skip


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return put_tiny(monkeypatch)


def full():
    found = results.Results(MACHINE)
    found.rows[case().key] = (case(), ROW)
    found.mining[MINED.key] = MINED
    found.memory = {100: {"peak": 2**24, "results": 2**20}, 10_000: {"peak": 2**26, "results": 1}}
    return found


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_tables():
    first, second, many, machine = table.markdown(full()).split("\n\n")
    head, _, line = first.splitlines()
    assert dict(enumerate(cells(line))) == {
        0: "tiny", 1: "4", 2: "4 on 2 images", 3: "deconvnet",
        4: "10.0 (9.00–11.0)", 5: "500", 6: "5000", 7: "0.25 (0.25–0.50)",
        8: "1.00", 9: "2.50", 10: "3e-07; 1 tied, 2e-13", 11: "cone",
    }  # fmt: skip
    assert len(cells(head)) == 12
    given = replace(case(), weights="some/trunk.pth")
    assert table.units(given, ROW)[0] == "tiny with trunk.pth"
    head, _, line = second.splitlines()
    assert len(cells(head)) == 10
    assert cells(line) == [
        "tiny", "3 (19)", "2 × 5", "100", "1.01", "1.20", "1.04", "1.02", "not installed",
        "0.50",
    ]  # fmt: skip
    assert "100 units: 16.0 MiB at the peak, of which 1.00 are the results; 10,000 units" in many
    assert machine == "a processor, 2 threads; deconvnet 0, torch 1."


def test_figures_are_kept_and_added_to(tmp_path):
    file = tmp_path / "a.json"
    assert (
        results.results(MACHINE, None) == results.results(MACHINE, file) == results.Results(MACHINE)
    )
    full().save(file)
    assert results.results(MACHINE, file) == full()
    other = results.Machine("cuda", "a GPU", 2, {})
    with pytest.raises(ValueError, match=r"measured on a processor, .*; here it is a GPU, 2 thr"):
        results.results(other, file)
    for text in ("no json", "[]", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(ValueError, match="holds no figures of this benchmark"):
            results.results(MACHINE, file)


def test_this_machine_says_what_it_is():
    here = results.this_machine("cpu", results.cores())
    assert here.processor
    assert here.threads >= 1
    assert here.versions["torch"] == torch.__version__.split("+")[0]
    assert list(here.versions)[0] == "deconvnet"


def test_the_readme_has_a_place_for_it_and_no_half_table(monkeypatch):
    monkeypatch.undo()
    _, _, rest = (ROOT / "README.md").read_text(encoding="utf-8").partition(table.MARKS[0])
    shown, found, _ = rest.partition(table.MARKS[1])
    assert found
    lines = [cells(line) for line in shown.splitlines() if line.startswith("|")]
    names = {(line[1], line[3]) for line in lines}
    if lines:  # else it was not filled in yet
        told = ("features.15", "features.22", "features.29", "features.7", "features.11")
        assert {(layer, "deconvnet") for layer in told} <= names, "benchmark.py --readme"


@pytest.fixture
def measured(monkeypatch):
    """The program, whose jobs take no time."""
    asked = []

    def row(one, **_):
        asked.append(one.key)
        if one.share == "b":
            raise ValueError("the results differ")
        return ROW

    monkeypatch.setattr(benchmark, "find_spec", lambda name: name)
    monkeypatch.setattr(benchmark.torch, "set_num_threads", lambda threads: None)
    monkeypatch.setattr(benchmark.benchmark_rows, "row", row)
    monkeypatch.setattr(benchmark.benchmark_mining, "row", lambda *a, **_: MINED)
    monkeypatch.setattr(benchmark.benchmark_mining, "BATCHES", {"tiny": (1, 1)})
    monkeypatch.setattr(benchmark.memory, "of_many", lambda *a, **_: full().memory)
    return asked


def program(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["benchmark.py", *map(str, arguments)])
    benchmark.main()


def test_a_row_that_fails_is_told_and_the_others_are_kept(measured, monkeypatch, capsys, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("".join(table.MARKS))
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    with pytest.raises(SystemExit) as caught:
        program(monkeypatch, "--json", tmp_path / "a.json", "--readme")
    assert caught.value.code == "tiny,4,deconvnet,b: the results differ"
    assert measured == ["tiny,4,deconvnet,a", "tiny,4,guided,a", "tiny,4,deconvnet,b"]
    kept = json.loads((tmp_path / "a.json").read_text())
    assert list(kept["rows"]) == ["tiny,4,deconvnet,a", "tiny,4,guided,a"]
    assert kept["mining"]
    assert kept["memory"]
    assert readme.read_text() == "".join(table.MARKS)
    assert "10.0 (9.00–11.0)" in capsys.readouterr().out


def test_a_second_run_adds_to_the_first(measured, monkeypatch, capsys, tmp_path):
    readme = tmp_path / "README.md"
    readme.write_text("".join(table.MARKS))
    monkeypatch.setattr(benchmark, "ROOT", tmp_path)
    program(monkeypatch, "--json", tmp_path / "a.json", "--only", "guided,4")
    program(monkeypatch, "--json", tmp_path / "a.json", "--mining")
    program(monkeypatch, "--json", tmp_path / "a.json", "--memory", "--readme")
    assert measured == ["tiny,4,guided,a"]
    shown = readme.read_text()
    assert "| tiny | 4 | 4 on 2 images |" in shown
    assert "| tiny | 3 (19) |" in shown
    assert "10,000 units" in shown


@pytest.mark.parametrize(
    ("only", "found"),
    [([], True), (["vgg16"], True), (["vgg16,features.2"], False), (["resnet50", "a"], True)],
)
def test_filters_hold_whole_parts(only, found):
    assert benchmark.wanted("vgg16,features.22,guided,a", only) is found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nowhere"], "nothing is called nowhere"),
        (["--quick", "--readme"], "--quick measures too little"),
    ],
)
def test_what_it_refuses(measured, monkeypatch, capsys, arguments, said):
    with pytest.raises(SystemExit):
        program(monkeypatch, *arguments)
    assert said in capsys.readouterr().err
    monkeypatch.setattr(benchmark, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        program(monkeypatch)
    assert 'captum is not installed; pip install -e ".[bench]" first' in capsys.readouterr().err
