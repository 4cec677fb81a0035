"""The call: what it takes from the store, what from model and data set, and how it goes on."""

import json
import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
from PIL import Image

import deconvnet as dn
from deconvnet.figures import signed
from deconvnet.mining.mine import Source
from deconvnet.pages import atlas as module
from deconvnet.pages import pictures as sources
from deconvnet.pages.atlas import planned
from deconvnet.pages.estimate import estimate
from tests.support.drawn_stores import drawn
from tests.support.mined import Ties, pictures
from tests.support.studied import PREPARED

MODEL = Ties(quantised=False).eval()
LAYERS = ["relu1", "relu3"]
NOTHING = dict.fromkeys(("net", "data", "layers", "preprocessing", "per_source", "feeds"))


class Data(list):
    """Images with a preprocessing and names."""

    preprocessing = PREPARED

    def path(self, index):
        return f"{index}.jpg"


DATA = Data(pictures(nan=False))


@pytest.fixture
def store(tmp_path):
    return dn.mine(
        MODEL,
        DATA,
        tmp_path / "top.h5",
        LAYERS,
        4,
        lowest=2,
        sample=6,
        batch_size=4,
        progress=False,
    )


def made(store, path, **how):
    return dn.atlas(store, path, progress=False, **how)


def chunk(folder, layer=0, number=0):
    """The units of a file of numbers."""
    text = (folder / f"data/{layer}-{number}.js").read_text()
    return json.loads(re.fullmatch(r"ATLAS\.got\(\d+,\d+,(.*)\);\n", text)[1])


def names(folder):
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}


def test_everything_of_a_store_that_knows_its_model(store, tmp_path):
    result = made(
        store, tmp_path / "atlas", rectifiers=("deconvnet", "guided"), feeds={"relu3": "relu1"}
    )
    assert result.path == tmp_path / "atlas"
    assert (result.units, result.notes) == (11, ())
    assert result.bytes == sum((result.path / name).stat().st_size for name in names(result.path))
    told, table = chunk(result.path, 1), store["relu3"]
    for channel, unit in enumerate(told["units"]):
        assert unit["active"] == pytest.approx(table.nonzero[channel], rel=1e-4)
        full = np.flatnonzero(table.has_picture[channel])
        assert [entry[0] for entry in unit["strongest"]] == table.image[channel, full].tolist()
        assert [entry[2:6] for entry in unit["strongest"]] == table.box[channel, full].tolist()
        assert [e[1] for e in unit["lowest"]] == pytest.approx(
            table.lowest.activation[channel][table.lowest.has_picture[channel]].tolist(), rel=1e-4
        )
        assert unit["histogram"]["n"] == 6
        assert len(unit["spectrum"]) == 5
        assert len(list((result.path / "sprites/1").glob(f"{channel:05d}-strongest-*"))) == (
            3 if len(full) else 0
        )
    fed = next(unit["feeds"] for unit in told["units"] if "feeds" in unit)
    assert {c for c, _ in fed} <= set(range(6))
    assert {f"photographs/{i}.webp" for i in told["images"]} <= names(result.path)
    assert told["images"]["0"] == "0.jpg"


def test_feeds_are_those_of_the_study(store, tmp_path):
    folder = made(store, tmp_path / "atlas", feeds={"relu3": "relu1"}).path
    units = chunk(folder, 1)["units"]
    channel = next(c for c, unit in enumerate(units) if unit["strongest"])
    study = dn.feeds(None, store, dn.Unit("relu3", channel), at="relu1")
    expected = sorted(enumerate(study.shares.tolist()), key=lambda pair: -abs(pair[1]))
    for (c, share), (number, value) in zip(units[channel]["feeds"], expected, strict=False):
        assert c == number
        assert share == pytest.approx(value, rel=1e-3)


@pytest.mark.parametrize("slot", [0, 1])
def test_a_projection_is_that_of_the_net(store, tmp_path, slot):
    """Against ``DeconvNet.project`` in its box; the cell of another slot is another picture."""
    folder = made(store, tmp_path / "atlas").path
    table, net = store["relu3"], dn.DeconvNet(MODEL, "deconvnet")
    channel = int(np.argmax(table.has_picture.sum(1)))
    unit = table.unit("relu3", channel, 0)
    image = DATA[unit.image][None]
    crop = net.project(image, units=[dn.Unit("relu3", channel, *unit.position)], crop=True)[0]
    expected = np.rint(signed(crop.pixels.movedim(0, -1).numpy()) * 255).astype("u1")
    with Image.open(folder / f"sprites/1/{channel:05d}-strongest-1.webp") as opened:
        cells = np.asarray(opened.convert("RGBA"))
    width = cells.shape[1] // 3
    cell = cells[: cells.shape[0] // 2, slot * width : (slot + 1) * width]
    inside = cell[cell[..., 3] > 0][:, :3]
    same = inside.shape == expected.reshape(-1, 3).shape and (
        np.abs(inside.astype(int) - expected.reshape(-1, 3)).max() <= 1
    )
    assert same == (slot == 0)


def test_photographs_are_the_images_as_the_model_saw_them(store, tmp_path):
    folder = made(store, tmp_path / "atlas").path
    index = int(next(iter(chunk(folder)["images"])))
    with Image.open(folder / f"photographs/{index}.webp") as opened:
        pixels = np.asarray(opened) / 255
    assert pixels.shape == (17, 14, 3)
    expected = PREPARED.pixels(DATA[index])
    assert abs(pixels.mean() - expected.mean()) < 0.03


def test_a_store_with_pictures_needs_nothing_else(tmp_path):
    store = drawn(tmp_path / "top.h5", {"relu": 4}, sample=8, dead=(1,))
    result = made(str(store.path), tmp_path / "atlas")
    assert len(result.notes) == 2
    assert "no photographs" in result.notes[1]
    unit = chunk(result.path)["units"][0]
    assert {"histogram", "near", "strongest"} <= set(unit)
    assert not {"lowest", "spectrum", "feeds"} & set(unit)
    assert not (result.path / "photographs").exists()
    assert "no photographs" in (result.path / "index.html").read_text()
    assert chunk(result.path)["units"][1]["strongest"] == []


def cells(folder, kind):
    """The pixels of all sprites of a kind, by file."""
    found = sorted((folder / "sprites").glob(f"*/*-{kind}-*.webp"))
    return {
        path.relative_to(folder).as_posix(): np.asarray(Image.open(path).convert("RGBA"))
        for path in found
    }


@pytest.fixture
def embedded(store):
    """The store with the pictures of all its tables, which knows neither model nor data set."""
    return dn.embed(store, MODEL, DATA, rectifiers="deconvnet", progress=False)


@pytest.mark.parametrize("kind", ["strongest", "lowest", "spectrum"])
def test_stored_pictures_are_those_that_a_model_makes(embedded, tmp_path, kind):
    read = made(dn.open_store(embedded.path), tmp_path / "read")
    assert read.notes == ("no photographs: the data set was not found",)
    new = made(embedded, tmp_path / "new", net=MODEL, data=DATA)
    one, other = cells(read.path, kind), cells(new.path, kind)
    assert one.keys() == other.keys()
    assert len(one) > 6
    for name in one:
        most = 8 if name.endswith("-0.webp") else 1  # levels of 255; patches have been JPEG files
        assert np.abs(one[name].astype(int) - other[name]).mean() < most, name
    wrong = zip(list(one.values())[2:], list(other.values())[:-2], strict=True)  # another channel's
    assert any(np.abs(a.astype(int) - b).mean() > 8 for a, b in wrong)


def test_what_is_stored_is_not_made_again(embedded, tmp_path, monkeypatch):
    monkeypatch.setattr(sources, "project_entries", None)  # what would be called
    monkeypatch.setattr(sources, "project_exemplars", None)
    folder = made(embedded, tmp_path / "atlas").path
    assert {"strongest", "lowest", "spectrum"} <= set(chunk(folder)["units"][0])


def strongest_alone(store):
    """The store without the pictures of the lowest and of the sample, as of an older version."""
    with h5py.File(store.path, "r+") as file:
        for layer in LAYERS:
            for name in ("lowest", "sample"):
                del file[f"layers/{layer}/{name}/patch"]
    return dn.open_store(store.path)


def test_a_store_of_before_has_the_strongest_alone(embedded, tmp_path):
    """The lowest and the sample of it have no pictures: they are made, or left out."""
    old = strongest_alone(embedded)
    result = made(old, tmp_path / "read")
    assert result.notes[0].startswith("no lowest images and no range of a sample: the model or")
    assert not {"lowest", "spectrum"} & set(chunk(result.path)["units"][0])
    knows = replace(old, mined_from=(MODEL, DATA))
    result = made(knows, tmp_path / "made")
    assert result.notes == ()
    assert {"lowest", "spectrum"} <= set(chunk(result.path)["units"][0])


def test_a_store_without_pictures_says_what_to_do(store, tmp_path):
    store = dn.open_store(store.path)  # which does not know its model
    with pytest.raises(
        ValueError, match=r"holds no projections of 'relu1' under 'deconvnet'.*net="
    ):
        made(store, tmp_path / "atlas")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["top.h5"]
    assert made(store, tmp_path / "atlas", net=MODEL, data=DATA).units == 11


def test_bad_arguments_are_told_before_any_work(store, tmp_path):
    with pytest.raises(KeyError, match="there is no layer 'relu9'"):
        made(store, tmp_path / "atlas", layers=["relu9"])
    with pytest.raises(KeyError, match="there is no layer 'relu9'"):
        made(store, tmp_path / "atlas", feeds={"relu9": "relu1"})
    with pytest.raises(KeyError, match="no layer is called 'relu8'"):
        made(store, tmp_path / "atlas", feeds={"relu3": "relu8"})
    with pytest.raises(ValueError, match="relu3 is not below relu1"):
        made(store, tmp_path / "atlas", feeds={"relu1": "relu3"})
    with pytest.raises(ValueError, match="feeds names 'relu3', which is not among"):
        made(store, tmp_path / "atlas", layers=["relu1"], feeds={"relu3": "relu1"})
    with pytest.raises(ValueError, match="k=0 was given"):
        made(store, tmp_path / "atlas", k=0)
    with pytest.raises(ValueError, match="no layer was given"):
        made(store, tmp_path / "atlas", layers=[])
    with pytest.raises(ValueError, match="no rectifier was given"):
        made(store, tmp_path / "atlas", rectifiers=())
    with pytest.raises(ValueError, match="relu"):
        made(store, tmp_path / "atlas", rectifiers="relu")
    with pytest.raises(FileExistsError, match=r"top\.h5"):
        made(store, tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["top.h5"]


def test_another_model_is_refused(store, tmp_path):
    with pytest.raises(ValueError, match="has changed since it was mined"):
        made(store, tmp_path / "atlas", net=Ties(quantised=False, seed=1).eval(), data=DATA)
    assert not (tmp_path / "atlas").exists()


def test_a_stopped_call_is_resumed_and_gives_the_same_files(store, tmp_path, monkeypatch):
    whole = made(store, tmp_path / "whole").path
    drawing, drew = module.sprite, []

    def stopping(*given):
        if len(drew) == 7:
            raise KeyboardInterrupt
        drew.append(1)
        return drawing(*given)

    monkeypatch.setattr(module, "sprite", stopping)
    with pytest.raises(KeyboardInterrupt):
        made(store, tmp_path / "atlas")
    assert not (tmp_path / "atlas").exists()
    again = []
    monkeypatch.setattr(module, "sprite", lambda *given: again.append(1) or drawing(*given))
    resumed = made(store, tmp_path / "atlas").path
    sprites = [name for name in names(whole) if name.startswith("sprites/")]
    assert len(sprites) - 7 <= len(again) < len(sprites)
    assert names(resumed) == names(whole)
    for name in names(whole):
        assert (resumed / name).read_bytes() == (whole / name).read_bytes(), name


def test_another_rule_is_not_mixed_with_what_was_stopped(store, tmp_path, monkeypatch):
    def stop(*_):
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(module, "index_page", stop)
        with pytest.raises(KeyboardInterrupt):
            made(store, tmp_path / "atlas")
    one = made(store, tmp_path / "atlas", rectifiers="guided").path
    other = made(store, tmp_path / "other", rectifiers="guided").path
    for name in names(other):
        assert (one / name).read_bytes() == (other / name).read_bytes(), name


@pytest.mark.parametrize("told", [True, False])
def test_recomputed_pictures_are_not_mixed_with_those_stored_since(
    embedded, tmp_path, monkeypatch, told
):
    """The strongest are stored before and after; of the lowest and the sample only after."""
    embedded = replace(embedded, mined_from=(MODEL, DATA))
    whole = made(embedded, tmp_path / "whole").path
    content = embedded.path.read_bytes()
    old = replace(strongest_alone(embedded), mined_from=(MODEL, DATA))
    if not told:  # planted: an atlas that does not look at what is stored
        monkeypatch.setattr(sources.Pictures, "stored", lambda *_: "")
    with monkeypatch.context() as patched:
        patched.setattr(module, "index_page", None)
        with pytest.raises(TypeError):
            made(old, tmp_path / "atlas")
    embedded.path.write_bytes(content)
    one = made(embedded, tmp_path / "atlas").path
    assert names(one) == names(whole)
    differing = [n for n in names(whole) if (one / n).read_bytes() != (whole / n).read_bytes()]
    assert bool(differing) != told, differing


def test_the_estimate_is_of_the_right_size(store, tmp_path):
    told = estimate(planned(store, rectifiers="deconvnet", k=9, **NOTHING))
    result = made(store, tmp_path / "atlas")
    assert told.files == len(names(result.path)) - 1  # the mark is not told
    assert result.bytes / 4 < told.bytes < result.bytes * 4
    assert told.seconds > 0


def test_progress_is_told_for_every_unit(store, tmp_path):
    told = []
    dn.atlas(store, tmp_path / "atlas", report=lambda done, of: told.append((done, of)))
    assert told[-1] == (11, 11)


def test_signals_are_refused(tmp_path, monkeypatch):
    store = drawn(tmp_path / "top.h5", {"relu": 2})
    monkeypatch.setattr(type(store["relu"]), "axes", 1)
    with pytest.raises(ValueError, match="is of signals, and an atlas shows images"):
        planned(store, rectifiers="deconvnet", k=9, **NOTHING)


def test_a_source_is_only_a_name(tmp_path):
    """The folder of the data set stands in the store, and not on the pages."""
    folder = tmp_path / "secret"
    store = dn.mine(
        MODEL, DATA, tmp_path / "top.h5", ["relu3"], 2, progress=False,
        source=Source("made.py:net", "", str(folder / "photos"), PREPARED.to_json()),
    )  # fmt: skip
    result = made(store, tmp_path / "atlas", net=MODEL, data=DATA)
    for name in names(result.path):
        assert b"secret" not in (result.path / name).read_bytes(), name
