"""A store with pictures on a machine that has neither the model nor the photographs."""

import shutil

import h5py
import pytest

from deconvnet import Unit, open_store
from deconvnet.cli.main import main
from deconvnet.figures import provenance
from deconvnet.mining.exemplars import stored_exemplars
from tests.support.commands import make_files, said


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """A store with pictures, whose model and photographs were never here."""
    folder = make_files(tmp_path_factory.mktemp("moved"))
    path = folder / "top.h5"
    options = ["--layers", "relu2,relu4", "-k", "3", "--batch-size", "4"]
    assert main(["mine", "zoo:zfnet_mini", str(folder / "photos"), "-o", str(path), *options]) == 0
    options = ["--projections", "deconvnet,guided", "-o", str(folder / "all.h5")]
    assert main(["embed", str(path), *options]) == 0
    shutil.rmtree(folder / "photos")
    with h5py.File(folder / "all.h5", "r+") as file:
        file.attrs["model"] = "nowhere/net.py:make"
    return folder / "all.h5"


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_a_figure_needs_neither_model_nor_data(moved, tmp_path, capfd, policy):
    figure = tmp_path / "a.png"
    arguments = ["figure", moved, "--layer", "relu4", "-o", figure, "--rectifier", policy]
    code, out, err = said(capfd, *arguments)
    assert code == 0, err
    assert "drawn from the pictures in the store" in out
    how = provenance(figure)
    assert (how["model"], how["rectifier"]) == ("nowhere/net.py:make", policy)
    assert how["model_fingerprint"] == open_store(moved).attributes["model_fingerprint"]


@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize(
    "options", [["--recompute"], ["--rectifier", "gradient"], ["--elsewhere", "rectify"]]
)
def test_what_is_not_stored_is_asked_of_the_model(moved, tmp_path, capfd, options):
    figure = tmp_path / "a.png"
    code, _, err = said(capfd, "figure", moved, "--layer", "relu4", "-o", figure, *options)
    assert code == 2
    assert "nowhere" in err
    assert "pictures in the store needs nothing else: --rectifier deconvnet or guided" in err
    assert not figure.exists()


@pytest.mark.filterwarnings("default")
def test_info_tells_of_pictures(moved, capfd):
    code, out, _ = said(capfd, "info", moved)
    assert code == 0
    (row,) = (line for line in out.splitlines() if line.startswith("relu4"))
    assert row.endswith("patches, deconvnet, guided")


def test_the_unit_of_a_stored_exemplar_is_the_tables(moved):
    store = open_store(moved)
    table = store["relu4"]
    for channel, those in stored_exemplars(store, "relu4", [3, 9], rectifier="guided").items():
        for slot, e in enumerate(those):
            place = (int(table.row[channel, slot]), int(table.col[channel, slot]))
            image = int(table.image[channel, slot])
            assert e.unit == Unit.at("relu4", channel, position=place, image=image)
