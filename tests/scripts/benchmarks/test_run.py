"""The benchmark's tables, its file of figures, and the program; its times are not tested."""

import json

import pytest
import torch

from scripts.benchmarks import memory, mining, projections, results, run

MACHINE = {"device": "cpu", "processor": "a processor", "threads": 2, "versions": {"torch": "1"}}
FIGURES = {
    "network": "tiny", "layer": "4", "rule": "deconvnet", "weights": "",
    "units": 4, "distinct": 2, "error": 3e-7, "tied": 1, "exact": 2e-13,
    "seconds": {"ours": [1.0, 2.0, 4.0], "captum": [9.0, 20.0, 44.0], "forward": [1.0, 1.0, 2.0]},
    "forwarded": 1000, "strategy": "cone", "multiply_adds": {"cone": 500, "taken": 500},
    "peaks": {"ours": 2**20, "captum": 5 * 2**19}, "check": 1.5,
}  # fmt: skip
MINED = {
    "network": "tiny", "batches": 2, "batch": 5, "layers": 3, "channels": 19, "once": [0.5],
    "seconds": {"forward": [1.0], "loader": [1.01], "plain": [1.2], "ours": [1.04]},
    "late": {"forward": [0.5], "ours": [0.51]},
}  # fmt: skip
MANY = {"count": 10_000, "peak": 2**26, "results": 2**20}


def cells(line):
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.fixture
def rows(row, monkeypatch):
    """The benchmark's rows; none takes time."""

    def measure(row, setup):
        if row.share == "b":
            raise ValueError("the results differ")
        return FIGURES

    monkeypatch.setattr(projections.Projections, "measure", measure)
    monkeypatch.setattr(mining.Mining, "measure", lambda *_: MINED)
    monkeypatch.setattr(memory.ManyUnits, "measure", lambda *_: MANY)
    monkeypatch.setattr(run, "find_spec", lambda name: name)
    monkeypatch.setattr(run.torch, "set_num_threads", lambda threads: None)
    units = [row(), row("guided"), row(share="b")]
    every = [*units, mining.Mining("tiny", 1, 1), memory.ManyUnits(10_000)]
    monkeypatch.setattr(run, "ROWS", every)
    return every


def test_the_tables(rows):
    measured = (FIGURES, FIGURES, FIGURES, MINED, MANY)
    found = {row.key: figures for row, figures in zip(rows, measured, strict=True)}
    first, second, many, machine = results.markdown(MACHINE, rows, found).split("\n\n")
    assert len(cells(first.splitlines()[0])) == 14
    assert cells(first.splitlines()[2]) == [
        "tiny", "4", "4 on 2 images", "deconvnet", "10.0 (9.00–11.0)", "500", "5000",
        "0.25 (0.25–0.50)", "1.00", "2.50", "3e-07; 1 tied, 2e-13", "cone", "1.50", "–",
    ]  # fmt: skip
    assert cells(second.splitlines()[2]) == [
        "tiny", "3 (19)", "2 × 5", "100", "1.01", "1.20", "1.04", "1.02", "not installed", "0.50",
    ]  # fmt: skip
    assert cells(many.splitlines()[2]) == ["10,000", "64.0", "1.00"]
    assert machine == "a processor, 2 threads; torch 1."
    given = {**FIGURES, "weights": "some/trunk.pth"}
    assert rows[0].columns["network"](given) == "tiny with trunk.pth"


def test_figures_are_kept_and_added_to(tmp_path):
    file = tmp_path / "a.json"
    assert results.load(None, MACHINE) == results.load(file, MACHINE) == {}
    results.save(file, MACHINE, {"a": FIGURES})
    assert results.load(file, MACHINE) == {"a": FIGURES}
    other = {**MACHINE, "processor": "a GPU"}
    with pytest.raises(ValueError, match=r"measured on a processor, .*; here it is a GPU, 2 thr"):
        results.load(file, other)
    for text in ("no json", "[]", '{"a": 1}'):
        file.write_text(text)
        with pytest.raises(ValueError, match="is not a results file of this benchmark"):
            results.load(file, MACHINE)


def test_this_machine_says_what_it_is():
    here = results.this_machine("cpu", 1)
    assert here["processor"]
    assert here["versions"]["torch"] == torch.__version__.split("+")[0]
    assert {"deconvnet", "captum", "zennit-crp"} <= set(here["versions"])


def test_the_readme_has_the_tables():
    _, found, rest = run.README.read_text(encoding="utf-8").partition("<!-- benchmark -->")
    shown, ended, earlier = rest.partition("<!-- /benchmark -->")
    assert found
    assert ended
    latest, lines = (
        [cells(line) for line in part.splitlines() if line.startswith("|")]
        for part in (shown, shown + earlier)  # tables of another machine stand below
    )
    assert list(projections.Projections.columns) in latest, "refresh it: run.py --readme"
    for row in (projections.Projections, mining.Mining, memory.ManyUnits):
        assert list(row.columns) in lines, "refresh it: scripts/benchmarks/run.py --readme"
    vgg16 = {line[1] for line in lines if line[0] == "vgg16"}
    assert {"features.15", "features.22", "features.29"} <= vgg16


def test_a_row_that_fails_is_told_and_the_others_are_kept(rows, monkeypatch, capsys, tmp_path):
    readme, file = tmp_path / "README.md", tmp_path / "a.json"
    readme.write_text("<!-- benchmark --><!-- /benchmark -->")
    monkeypatch.setattr(run, "README", readme)
    with pytest.raises(SystemExit) as caught:
        run.main(["--json", str(file), "--readme"])
    assert caught.value.code == "tiny,4,deconvnet,b: the results differ"
    assert set(json.loads(file.read_text())["rows"]) == {
        "tiny,4,deconvnet,a", "tiny,4,guided,a", "tiny,mining", "alexnet,memory,10000"
    }  # fmt: skip
    assert readme.read_text() == "<!-- benchmark --><!-- /benchmark -->"
    assert "10.0 (9.00–11.0)" in capsys.readouterr().out


def test_a_second_run_adds_to_the_first(rows, monkeypatch, tmp_path):
    readme, file = tmp_path / "README.md", str(tmp_path / "a.json")
    readme.write_text("<!-- benchmark --><!-- /benchmark -->")
    monkeypatch.setattr(run, "README", readme)
    run.main(["--json", file, "--only", "memory"])
    run.main(["--json", file, "--only", "guided,4", "--only", "mining", "--readme"])
    shown = readme.read_text()
    assert shown.index("| tiny | 4 |") < shown.index("| tiny | 3 (19) |") < shown.index("| 10,000")
    assert shown.count("| tiny | 4 |") == 1


@pytest.mark.parametrize(
    ("only", "found"),
    [([], True), (["vgg16"], True), (["vgg16,features.2"], False), (["resnet50", "a"], True)],
)
def test_filters_hold_whole_words(only, found):
    assert run.wanted("vgg16,features.22,guided,a", only) is found


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--only", "nowhere"], "no row is called nowhere; the rows are"),
        (["--quick", "--readme"], "--quick measures too little"),
    ],
)
def test_what_it_refuses(rows, monkeypatch, capsys, arguments, said):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert said in capsys.readouterr().err
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run.main([])
    assert 'captum is not installed; pip install -e ".[bench]" first' in capsys.readouterr().err
