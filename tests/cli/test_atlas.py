"""``deconvnet atlas``: the pages, the estimate, and what is told."""

import json

import pytest

from tests.support.commands import said
from tests.support.drawn_stores import drawn

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"


@pytest.fixture(scope="module")
def store(files):
    from deconvnet.cli.main import main

    path = files / "top.h5"
    how = ["--layers", "relu1,relu2", "-k", "3", "--lowest", "2", "--sample", "4"]
    assert main(["mine", MODEL, str(files / "photos"), "-o", str(path), *how]) == 0
    return path


def test_model_and_data_are_found_by_the_store(store, tmp_path, capfd):
    folder = tmp_path / "new" / "atlas"
    code, out, err = said(
        capfd, "atlas", store, "-o", folder, "--layers", "relu2", "--feeds", "relu2=relu1",
        "-k", 2, "--json",
    )  # fmt: skip
    assert code == 0, err
    told = json.loads(out)
    assert told["page"] == str(folder / "index.html")
    assert (folder / "index.html").is_file()
    assert (told["units"], told["notes"]) == (96, [])
    assert told["photographs"] == 5
    assert "--layer relu2" in (folder / "data/index.js").read_text()
    assert '"feeds"' in (folder / "data/0-0.js").read_text()


def test_a_dry_run_writes_nothing(store, tmp_path, capfd):
    code, out, err = said(capfd, "atlas", store, "-o", tmp_path / "atlas", "--dry-run")
    assert code == 0, err
    assert out.startswith("144 units of 2 layers: ")
    assert "nothing was written" in out
    assert list(tmp_path.iterdir()) == []


def test_what_it_lacks_is_told(tmp_path, capfd):
    made = drawn(tmp_path / "top.h5", {"relu": 3})
    code, out, err = said(capfd, "atlas", made.path, "-o", tmp_path / "atlas")
    assert code == 0, err
    assert "it has no photographs: the data set was not found" in out
    assert "it has no lowest images" in out


BAD = {
    "--layers relu9": "there is no layer 'relu9'",
    "--feeds relu2": "expected LAYER=LAYER_BELOW",
    "-k 0": "k=0 was given, expected 1 or more",
    "--rectifiers relu": "'relu'",
    "--data none": "'none'",
    "--weights none.pth": "no file of weights 'none.pth'",
}


@pytest.mark.parametrize("options", BAD)
def test_bad_options_are_told_in_one_line(store, tmp_path, capfd, options):
    code, _, err = said(capfd, "atlas", store, "-o", tmp_path / "atlas", *options.split())
    assert code == 2
    assert BAD[options] in err
    assert "Traceback" not in err
    assert not (tmp_path / "atlas").exists()


def test_a_folder_of_others_is_refused_before_the_store_is_opened(tmp_path, capfd):
    (tmp_path / "thesis.tex").write_text("mine")
    code, _, err = said(capfd, "atlas", tmp_path / "none.h5", "-o", tmp_path)
    assert code == 2
    assert "'thesis.tex', which is not a part of an atlas" in err
