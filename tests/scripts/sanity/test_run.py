"""The program of the sanity study: its arguments, its tables, its numbers."""

import json
import math
from dataclasses import replace

import pytest

from scripts.sanity import lenet, run, units
from tests.support.house import ROOT

ROW = lenet.Row("F.relu", "deconvnet", "guided", 0, 0.0, 0.9, mprt=0.5, last=0.25, emprt=-1.0)
UNIT = units.Row(
    "tiny", "units of 4", "guided", 3, 2, top=0.9, all_but_one=0.8, half=0.1, ssim=0.7, pair=0.6,
    ranks=0.5, pair_ranks=0.4, logit=0.3, convergence=0.2, emprt=math.nan,
)  # fmt: skip


def test_a_line_is_the_mean_over_nets_with_its_range():
    rows = [ROW, replace(ROW, seed=1, mprt=0.7), replace(ROW, rule="gradient", mprt=0.1)]
    text = run.of_lenet_table(rows).splitlines()
    assert len(text) == 4
    assert "| guided | 0 | 0.60 (0.50 to 0.70) | 0.25 (0.25 to 0.25) | -1.00" in text[2]


def test_controls_are_told_once():
    rows = [
        UNIT,
        replace(UNIT, rule="noise", ssim=0.01),
        replace(UNIT, target="units of 5"),
        replace(UNIT, target="units of 5", rule="noise", ssim=0.02),
    ]
    text = run.of_units_table(rows)
    assert text.count("| guided |") == 2
    assert text.count("| noise |") == 1
    assert "0.80 ± 0.10 | 0.70 | 0.60 | 0.50 | 0.40 | 0.30 | 0.20 | – |" in text


def test_what_is_no_number_is_none_in_json():
    assert json.loads(json.dumps(run.plain({"a": [math.nan, 1.5, {"b": math.inf}]}))) == {
        "a": [None, 1.5, {"b": None}]
    }


def test_the_tables_of_the_readme_are_the_numbers_of_the_gallery():
    numbers = json.loads((ROOT / "outputs/gallery/sanity.json").read_text(encoding="utf-8"))

    def read(kind, rows):
        return [kind(**{k: math.nan if v is None else v for k, v in row.items()}) for row in rows]

    text = run.README.read_text(encoding="utf-8")
    nets, checked = read(lenet.Row, numbers["lenet"]), read(units.Row, numbers["units"])
    assert run.of_lenet_table(nets) in text
    assert run.of_units_table(checked) in text
    assert run.of_units_table([replace(checked[0], ssim=0.99), *checked[1:]]) not in text


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--vgg16", "nowhere.pth", "--only", "units"], "--vgg16 nowhere.pth: no such file"),
        (["--readme", "--only", "units"], "--readme needs all rows"),
    ],
)
def test_bad_arguments_are_told_before_any_work(arguments, said, capsys):
    with pytest.raises(SystemExit):
        run.main(arguments)
    assert said in capsys.readouterr().err


def test_missing_libraries_are_told(monkeypatch, capsys):
    monkeypatch.setattr(run, "find_spec", lambda name: None)
    with pytest.raises(SystemExit):
        run.main(["--only", "lenet"])
    assert "quantus, zennit, scikit-learn not installed" in capsys.readouterr().err
