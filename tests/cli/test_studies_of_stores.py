"""The commands that look at a unit's range, its like, what feeds it, and its facets."""

import json

import pytest

from deconvnet.figures import read_provenance
from tests.support.commands import said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"


@pytest.fixture(scope="module")
def store(files):
    from deconvnet.cli.main import main

    path = files / "top.h5"
    how = ["--layers", "relu3,relu4", "-k", "4", "--lowest", "2", "--sample", "4"]
    assert main(["mine", MODEL, str(files / "photos"), "-o", str(path), *how]) == 0
    return path


@pytest.fixture
def told(capfd, tmp_path):
    """Run a command that draws: its JSON, whose figure is read back."""

    def run(*arguments):
        path = tmp_path / "figure.png"
        code, out, err = said(capfd, *map(str, arguments), "-o", str(path), "--json")
        assert code == 0, err
        result = json.loads(out)
        assert result["figure"] == str(path)
        return result, read_provenance(path)

    return run


def test_spectrum(store, told):
    result, made = told("spectrum", store, "--layer", "relu4", "--channels", "strongest:2")
    assert result["n"] == 4
    assert len(result["entries"]) == 18
    assert made["study"] == "Spectrum"
    assert made["model"] == MODEL


def test_similarity(store, told):
    result, made = told("similarity", store, "--layer", "relu4", "--pairs", "3")
    assert [row["kind"] for row in result["pairs"]] == 3 * ["similar"] + 3 * ["opposite"]
    assert made["layer"] == "relu4"


def best(told, store):
    result, _ = told("spectrum", store, "--layer", "relu4", "--channels", "strongest:1")
    return result["entries"][-1]["unit"].partition("@")[0]


def test_feeds_and_facets(files, store, told):
    unit = best(told, store)
    in_store, made = told("feeds", MODEL, store, "--unit", unit, "--at", "relu3")
    assert len(in_store["channels"]) == 8
    assert made["rectifier"] == "deconvnet"
    photo = next(iter(sorted((files / "photos").iterdir())))
    in_image, made = told("feeds", MODEL, photo, "--unit", unit, "--at", "relu3", "--channels", 2)
    assert len(in_image["channels"]) == 2
    assert made["images"]
    result, made = told("facets", store, "--unit", unit, "--at", "relu3")
    assert {row["facet"] for row in result["exemplars"]} == {1, 2}
    assert made["random_state"] == "0"


def test_a_store_stands_alone(files, store, capfd):
    photo = next(iter(sorted((files / "photos").iterdir())))
    given = [str(store), str(photo), "--unit", "relu4:1", "--at", "relu3"]
    code, _, err = said(capfd, "feeds", MODEL, *given)
    assert code == 2
    assert "was given among 2 files; give a store alone" in err
