"""Every result shows itself, is saved with how it was made, and has a short repr."""

import subprocess
import sys
from dataclasses import dataclass, is_dataclass
from importlib import import_module
from pkgutil import iter_modules

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from deconvnet import DeconvNet, Unit, studies
from deconvnet.figures import read_provenance
from deconvnet.studies.compare import compare
from deconvnet.studies.result import Shown
from deconvnet.studies.visualize import visualize
from tests.support.house import ROOT
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED

SUFFIXES = (".pdf", ".png", ".svg")


def results():
    """Every class of the folder that is the result of a study."""
    modules = [
        import_module(f"{studies.__name__}.{m.name}") for m in iter_modules(studies.__path__)
    ]
    found = [thing for module in modules for thing in vars(module).values()]
    return [t for t in found if isinstance(t, type) and issubclass(t, Shown) and t is not Shown]


@pytest.fixture(scope="module")
def shown():
    return visualize(
        DeconvNet(MODEL), IMAGES, layer="relu", channel=[2, 1], preprocessing=PREPARED, names=NAMES
    )


def test_every_result_keeps_the_protocol():
    assert len(results()) >= 3
    for kind in results():
        assert is_dataclass(kind), kind
        assert kind.__dataclass_params__.frozen, kind
        assert kind.__repr__ is Shown.__repr__, f"{kind} needs repr=False"


def test_it_shows_itself(shown, tmp_path):
    (tmp_path / "shown.png").write_bytes(shown._repr_png_())
    with Image.open(tmp_path / "shown.png") as picture:
        assert picture.width == round(6.875 * 144)
        assert len(np.unique(np.asarray(picture.convert("L")))) > 50


def test_nothing_needs_pyplot():
    code = (
        "import sys, torch, deconvnet as dn; from tests.support.studied import *; "
        "from deconvnet.studies.visualize import visualize; "
        "one = visualize(dn.DeconvNet(MODEL), IMAGES, layer='relu', channel=2, "
        "preprocessing=PREPARED); one._repr_png_(); repr(one); print('matplotlib.pyplot' in "
        "sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_saved_with_how_it_was_made(shown, tmp_path, suffix):
    path = shown.save(
        tmp_path / f"deep/one{suffix}", width="cvpr", title="Two", provenance={"weights": "a/w.pth"}
    )
    how = read_provenance(path)
    assert (how["study"], how["layer"], how["rectifier"]) == ("Visualization", "relu", "deconvnet")
    assert (how["title"], how["weights"]) == ("Two", "w.pth")
    assert {"contrast", "deconvnet", "torch", "matplotlib"} <= set(how)
    before = path.read_bytes()
    shown.save(path, width="cvpr", title="Two", provenance={"weights": "w.pth"})
    assert path.read_bytes() == before


def test_a_bad_name_or_width_is_told_before_anything_is_drawn(shown, tmp_path, monkeypatch):
    monkeypatch.setattr(type(shown), "figure", None)
    with pytest.raises(ValueError, match=r"expected one of \.pdf"):
        shown.save(tmp_path / "one.docx")
    with pytest.raises(ValueError, match="neither a venue nor a length"):
        shown.save(tmp_path / "one.pdf", width="cvpr-ful")


def test_its_repr_is_short_and_names_what_it_holds(shown):
    lines = repr(shown).splitlines()
    assert lines[0] == "Visualization(layer=relu, rectifier=deconvnet, seed=activation, model=Ties)"
    assert lines[1].startswith("  image 0.jpg, unit relu:2@")
    assert lines[-1] == "  … and 3 more rows in table()"
    assert len(lines) == 5


@dataclass(frozen=True, repr=False)
class Long(Shown):
    names: list
    array: np.ndarray
    margin: float = 2 / 3
    several: tuple = (1 / 7, np.float32(1e-7 / 3))

    def figure(self, **_):
        return Figure()

    def table(self):
        return [{"image": name, "activation": 1 / 3, "all": [1 / 9]} for name in self.names]


def test_however_much_it_holds():
    text = repr(Long(["cat\n" * 100] * 1000, np.zeros(10_000)))
    assert len(text) <= 600
    assert len(text.splitlines()) <= 5
    assert "array" not in text


def test_its_numbers_are_rounded_and_counted_but_not_where_they_are_kept():
    result = Long(["cat"] * 4, np.zeros(1))
    lines = repr(result).splitlines()
    assert lines[0].endswith("margin=0.667, several=0.143, 3.33e-08)")
    assert lines[1] == "  image cat, activation 0.333, all (0.111)"
    assert lines[-1] == "  … and 1 more row in table()"
    assert dict(result._told())["margin"] == str(2 / 3), "the metadata of a file keep all digits"


def test_what_is_told_of_its_fields():
    result = compare(MODEL, IMAGES, target=Unit("relu", 2), preprocessing=PREPARED, names=NAMES)
    told = dict(result._told())
    assert told["names"] == "0.jpg, 1.jpg, 2.jpg"
    assert told["exemplars"] == "gradient, deconvnet, guided"
    assert "pictures" not in told


def test_drawn_into_a_part_of_another_figure(shown):
    with matplotlib.rc_context():
        whole = Figure(figsize=(9, 6))
        left, right = whole.subfigures(1, 2)
        assert shown.figure(parent=left) is whole
    (axes,) = left.axes
    assert not right.axes
    width, height = axes.get_xlim()[1], axes.get_ylim()[0]
    assert width == pytest.approx(4.5)
    assert axes.get_position().height * 6 == pytest.approx(height)
    with pytest.raises(ValueError, match=r"and the parent 0\.10; make the parent"):
        shown.figure(parent=Figure(figsize=(4.5, 0.1)))
