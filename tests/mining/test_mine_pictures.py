"""``mine --store-patches --store-projections``: one command, and figures need nothing else."""

import pytest

from deconvnet import open_store
from deconvnet.cli.commands import embed as command
from tests.support.commands import make_files, said

pytestmark = pytest.mark.filterwarnings("default")
MODEL = "zoo:zfnet_mini"
LAYERS = ("--layers", "relu2,relu4", "-k", 2, "--batch-size", 4)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("pictures"))


def mined(capfd, files, path, *options):
    code, out, err = said(capfd, "mine", MODEL, files / "photos", "-o", path, *LAYERS, *options)
    return code, out, err


def held(path):
    return {name: sorted(each.projections) for name, each in open_store(path).pictures.items()}


def test_patches_alone_or_with_projections(files, tmp_path, capfd):
    path = tmp_path / "a.h5"
    assert mined(capfd, files, path, "--store-patches")[0] == 0
    assert held(path) == {"relu2": [], "relu4": []}
    code, out, _ = mined(capfd, files, path, "--store-projections", "deconvnet,guided")
    assert code == 0
    assert "is finished already" in out, "what was mined is not mined again"
    assert held(path) == dict.fromkeys(("relu2", "relu4"), ["deconvnet", "guided"])
    before = path.stat().st_mtime_ns
    assert mined(capfd, files, path, "--store-projections", "guided")[0] == 0
    assert path.stat().st_mtime_ns == before, "what is there is not made again"
    code, out, _ = said(capfd, "figure", path, "--layer", "relu4", "-o", tmp_path / "a.png")
    assert code == 0
    assert "drawn from the pictures in the store" in out


def test_nothing_is_stored_unasked(files, tmp_path, capfd):
    assert mined(capfd, files, tmp_path / "a.h5")[0] == 0
    assert held(tmp_path / "a.h5") == {}
    code, out, _ = said(
        capfd, "figure", tmp_path / "a.h5", "--layer", "relu4", "-o", tmp_path / "a.png"
    )
    assert code == 0
    assert "drawn from" not in out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--store-projections", "relu"), "no rectifier is called 'relu'"),
        (("--store-projections", "rectgrad(101)"), "percentile was 101"),
    ],
)
def test_a_wrong_policy_is_said_before_the_work(files, tmp_path, capfd, options, message):
    code, out, err = mined(capfd, files, tmp_path / "a.h5", *options)
    assert (code, out) == (2, "")
    assert message in err
    assert list(tmp_path.iterdir()) == []


def test_a_policy_without_a_rule_is_said_before_the_work(files, tmp_path, capfd):
    model, path = f"{files / 'nets.py'}:gelu", tmp_path / "a.h5"
    arguments = ["mine", model, files / "photos", "-o", path, "--size", 64, "--layers", "2"]
    arguments += ["--store-projections", "deconvnet"]
    code, _, err = said(capfd, *arguments)
    assert code == 2
    assert "GELU" in err
    assert not path.exists()
    assert said(capfd, *arguments, "--elsewhere", "rectify")[0] == 0
    assert open_store(path).pictures["2"].projections["deconvnet"].elsewhere == "rectify"


def test_an_interruption_keeps_the_tables(files, tmp_path, capfd, monkeypatch):
    path = tmp_path / "a.h5"

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(command, "embed", interrupt)
        code, _, err = mined(capfd, files, path, "--store-patches")
    assert code == 130
    assert f"{path} is finished, but without pictures; the same command adds them" in err
    assert held(path) == {}
    assert mined(capfd, files, path, "--store-patches")[0] == 0
    assert held(path) == {"relu2": [], "relu4": []}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("none.h5",), "there is no file 'none.h5'; mine a data set"),
        (("top.h5", "--data", "nowhere"), "nowhere"),
        (("top.h5", "--projections", "relu"), "no rectifier is called 'relu'"),
        (("top.h5", "-o", "photos"), "'photos' could not be written"),
        (("top.h5", "--model", "zoo:zfnet"), "mined from another model"),
    ],
)
def test_bad_input_of_embed(files, capfd, monkeypatch, options, message):
    monkeypatch.chdir(files)
    if not (files / "top.h5").exists():
        assert mined(capfd, files, files / "top.h5")[0] == 0
    before = (files / "top.h5").read_bytes()
    code, out, err = said(capfd, "embed", *options)
    assert (code, out) == (2, "")
    assert message in err.splitlines()[-1]
    assert (files / "top.h5").read_bytes() == before
    assert not list(files.glob(".deconvnet*"))
