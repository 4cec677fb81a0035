"""The demo: store, grids, comparison, one unit and a page, which say how they were made."""

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from deconvnet import open_store, zoo
from deconvnet.cli.commands import demo
from deconvnet.figures import read_provenance
from tests.support.commands import said

pytestmark = pytest.mark.filterwarnings("default")
MOST = 40_000_000  # pixels of a picture that nobody can open


def ran(capfd, folder):
    code, out, err = said(capfd, "demo", "-o", folder, "--json")
    assert code == 0, err
    told = json.loads(out)
    assert told["folder"] == str(folder)
    return told


def check(folder, told, *, layers, grids):
    """Whatever the demo names is there, can be opened, and tells of the model."""
    made = {Path(path).name: Path(path) for path in told["made"]}
    assert all(path.parent == folder for path in made.values())
    store = open_store(made["top64.h5"])
    assert tuple(store) == layers
    assert store.attributes["model"] == "zoo:zfnet_mini"
    names = {path.name for path in folder.iterdir()}
    assert {name.removesuffix(", .png") for name in made} <= names
    figures = [path for path in folder.iterdir() if path.suffix in (".pdf", ".png")]
    stems = {path.stem for path in figures}
    assert {"filters_conv1", "methods", "units", *(f"figure2_{layer}" for layer in grids)} <= stems
    for path in figures:
        how = read_provenance(path)
        assert how["model"] == "zoo:zfnet_mini", path
        assert {"contrast", "deconvnet", "torch", "matplotlib"} <= set(how), path
        if path.suffix == ".png":
            with Image.open(path) as picture:
                assert 10_000 < picture.width * picture.height < MOST
                greys = np.asarray(picture.convert("L").resize((64, 64)))
                assert len(np.unique(greys)) > 8, "a blank picture"
    for layer in grids:
        how = read_provenance(folder / f"figure2_{layer}.png")
        assert how["layer"] == layer
        assert how["model_fingerprint"] == store.attributes["model_fingerprint"]
    page = Path(told["page"]).read_text()
    assert page.count("data:image/") >= len(grids) + 3
    assert all(what in page for name, what in told["made"].items() if not name.endswith(".h5"))
    links = re.findall(r'href="([\w.]+\.pdf)"', page)
    assert sorted(links) == sorted(path.name for path in figures if path.suffix == ".pdf")
    opened = set(re.findall(r'class="opened" id="(\w+)"', page))
    assert opened == set(re.findall(r'<a href="#(f\d+s\d+)"', page))
    assert len(opened) >= len(grids)
    (atlas,) = re.findall(r'href="(atlas/[^"]+)"', page)
    listed = (folder / atlas).read_text()
    assert all(f">{layer}</a>" in listed for layer in layers)
    units = sum(store[layer].channels for layer in layers)
    assert f"each of the {units} units" in page
    alive = sum(int((store[layer].nonzero > 0).sum()) for layer in layers)
    assert len(list((folder / "atlas/sprites").glob("*/*-strongest-1.webp"))) == alive


def test_a_small_demo(tmp_path, capfd, monkeypatch):
    """The same work over one photograph and one layer."""
    few = zoo.photographs(["chelsea", "coffee"], scales=[2])
    monkeypatch.setattr(zoo, "photographs", lambda: few)
    monkeypatch.setattr(demo, "LAYERS", ("relu2", "relu4"))
    monkeypatch.setattr(demo, "GRIDS", {"relu4": (126, 132)})
    told = ran(capfd, tmp_path / "new" / "demo")
    check(tmp_path / "new" / "demo", told, layers=("relu2", "relu4"), grids=("relu4",))


def test_the_check_catches_a_figure_without_provenance(tmp_path):
    Image.new("RGB", (200, 200)).save(tmp_path / "figure2_relu4.png")
    with pytest.raises(ValueError, match="carries no provenance"):
        read_provenance(tmp_path / "figure2_relu4.png")


@pytest.mark.slow
def test_the_whole_demo(tmp_path, capfd):
    told = ran(capfd, tmp_path)
    check(tmp_path, told, layers=demo.LAYERS, grids=tuple(demo.GRIDS))
