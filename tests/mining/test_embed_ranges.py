"""Pictures of the lowest, of the sample and of directions: stored, verified, and drawn again."""

from dataclasses import replace

import h5py
import numpy as np
import pytest

import deconvnet as dn
from deconvnet.mining.embed import embed
from deconvnet.mining.exemplars import vectors_of
from deconvnet.mining.mine import mine
from deconvnet.mining.verify.verify import verify
from deconvnet.store.picture_reading import stored_entries
from deconvnet.store.store import open_store
from deconvnet.store.user_content import additions
from tests.support.mined import Prepared, Ties, pictures

VECTORS = np.array([[0, 0, 1, 0, 0, 0], [-1, -1, -2, -1, -1, -3]], "f4")
SIZES = {
    "k": 2,
    "lowest": 3,
    "sample": 9,
    "batch_size": 4,
    "directions": {"relu1": VECTORS, "conv1": [[0, 1, 0, 0, 0, 0]]},
}
RULES = ("deconvnet", "gradient")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    path = tmp_path_factory.mktemp("ranges") / "a.h5"
    model, data = Ties(quantised=False).eval(), Prepared(pictures(13, nan=False))
    store = mine(model, data, path, ["conv1", "relu1", "fc1"], **SIZES)
    return embed(store, rectifiers=RULES), model, data


@pytest.fixture
def alone(work):
    """The store in a process that knows neither model nor data."""
    return open_store(work[0].path)


def test_every_table_has_its_pictures(work, alone):
    paths = ("", "lowest", "sample", "directions/given", "directions/given/lowest")
    for name, table in alone.items():
        for path, each in table.every.items():
            index = alone.pictures[name].at(path)
            assert sorted(index.projections) == sorted(RULES), (name, path)
            assert ((index.patches.offset >= 0) == each.has_picture).all()
    assert {*paths} <= {*alone["relu1"].every}
    table = alone["relu1"]
    assert table.lowest.has_picture.sum() == (table.lowest.image >= 0).sum()
    assert 0 < table.sample.has_picture[1].sum() <= 9
    assert additions(alone.path) == []


@pytest.mark.parametrize("rule", RULES)
@pytest.mark.parametrize(
    ("layer", "path"),
    [
        ("relu1", "lowest"),
        ("conv1", "directions/given"),  # negative everywhere
        ("relu1", "directions/given/lowest"),
    ],
)
def test_projections_are_those_of_the_recorded_value(work, alone, rule, layer, path):
    """Of the lowest a negative one, at the node that feeds the rectifier."""
    _, model, data = work
    net, table = dn.DeconvNet(model, rule), alone[layer].every[path]
    places = [tuple(p) for p in np.argwhere(table.has_picture).tolist()]
    assert (table.value[table.has_picture] < 0).any()
    node = "conv1" if path == "lowest" else layer
    vectors = vectors_of(alone[layer], path)
    for place, one in zip(
        places, stored_entries(alone, layer, places, rectifier=rule, path=path), strict=True
    ):
        assert (one.unit.layer, one.activation) == (node, float(table.value[place]))
        (cut,) = net.project(
            data.images[one.unit.image][None], units=[replace(one.unit, image=0)], crop=True,
            direction=vectors,
        )  # fmt: skip
        assert cut.activation == pytest.approx(one.activation, rel=1e-5)
        expected = cut.pixels.movedim(0, -1).numpy()
        scale = max(1e-6, float(np.abs(expected).max()))
        assert np.abs(one.projection - expected).max() <= 1e-3 * scale


def test_figures_need_neither_model_nor_data(work, alone, monkeypatch):
    def nothing(*_, **__):
        raise AssertionError("the store has the pictures")

    monkeypatch.setattr("deconvnet.studies.exemplars.source_of", nothing)
    monkeypatch.setattr("deconvnet.studies.spectrum.source_of", nothing)
    store, *_ = work
    lowest = dn.exemplars(alone, "relu1", [1, 2], end="lowest")
    assert [one.activation for one in lowest.channels[2]] == store["relu1"].lowest.value[2].tolist()
    assert "holds the unit down" in lowest._told_if(True)
    given = dn.exemplars(alone, "relu1", "0-1", of="directions", rectifier="gradient")
    assert list(given._shown) == ["direction 0", "direction 1"]
    assert given.figure().axes is not None
    assert dn.exemplars(alone, "relu1", 0, of="directions", end="lowest").channels[0]
    whole = dn.spectrum(alone, "relu1", [2], rectifier="gradient")
    assert whole.model == ""
    assert len(whole.channels[2].exemplars) == 9
    assert dn.spectrum(alone, "relu1", 1, of="directions").channels[1].label == "direction 1"


def test_stored_and_recomputed_are_the_same(work, alone):
    _, model, data = work
    for of, numbers in (("channels", [2, 4]), ("directions", [0, 1])):
        stored = dn.spectrum(alone, "relu1", numbers, of=of)
        again = dn.spectrum(alone, "relu1", numbers, of=of, net=model, data=data)
        assert (stored.model, again.model) == ("", "Ties")
        for number in numbers:
            for one, two in zip(
                stored.channels[number].exemplars, again.channels[number].exemplars, strict=True
            ):
                assert (one.unit, one.activation, one.box) == (two.unit, two.activation, two.box)
                assert one.overhang == two.overhang
                np.testing.assert_allclose(one.projection, two.projection, rtol=1e-3, atol=1e-4)
    low = dn.exemplars(alone, "relu1", [2], end="lowest", net=model, data=data).channels[2]
    assert [o.activation for o in low] == alone["relu1"].lowest.value[2].tolist()


def test_a_direction_of_one_channel_draws_the_channel(alone):
    one = dn.exemplars(alone, "relu1", [2]).channels[2]
    same = dn.exemplars(alone, "relu1", [0], of="directions").channels[0]
    assert [e.unit.image for e in one] == [e.unit.image for e in same]
    for first, second in zip(one, same, strict=True):
        assert np.array_equal(first.projection, second.projection)


def test_verify_compares_them(work):
    store, model, data = work
    found = verify(store, model, data, n=None, tolerance=0.0)
    assert (found.mismatches, found.unchecked) == ((), ())
    shown = sum(t.has_picture.sum() for table in store.values() for t in table.every.values())
    assert found.pictures == 3 * shown


WRONG_PICTURES = [
    ("lowest", "patch"),
    ("sample", "projection"),
    ("directions/given", "patch"),
    ("directions/given/lowest", "projection"),
]


@pytest.mark.parametrize(("path", "what"), WRONG_PICTURES)
def test_a_wrong_picture_is_told(work, tmp_path, path, what):
    store, model, data = work
    copy = tmp_path / "a.h5"
    copy.write_bytes(store.path.read_bytes())
    with h5py.File(copy, "r+") as file:
        group = file[f"layers/relu1/{path}"]
        for name in ("offset",) if what == "patch" else ("scale",):
            part = group["patch" if what == "patch" else "projection/gradient"]
            values = part[name][...]
            there = part["offset"][...] >= 0
            if what == "patch":  # every entry the patch of another
                lengths = part["length"][...]
                order = np.roll(np.flatnonzero(there.ravel()), 1)
                values[there] = values.ravel()[order]
                lengths[there] = lengths.ravel()[order]
                part["length"][...] = lengths
            else:
                values[there] *= 2
            part[name][...] = values
    found = verify(open_store(copy), model, data, n=None)
    assert {each.kind for each in found.mismatches} == {"picture"}
    assert any(f"{path} " in each.what or path in each.what for each in found.mismatches)


def test_embedding_again_keeps_the_others_and_their_bytes(work, tmp_path):
    store, model, data = work
    one = embed(store, model, data, rectifiers="guided", path=tmp_path / "one.h5")
    rules = [*RULES, "guided"]
    two = embed(open_store(store.path), model, data, rectifiers=rules, path=tmp_path / "two.h5")
    assert one.path.read_bytes() == two.path.read_bytes()


WRONG = {
    "of": ({"of": "units"}, "of='units' was given, expected 'channels' or 'directions'"),
    "end": ({"end": "best"}, "end='best' was given, expected 'strongest' or 'lowest'"),
    "none": ({"of": "directions", "layer": "fc1"}, "no directions of fc1; mine them"),
    "another set": ({"of": "directions/x"}, "directions of relu1 are 'directions/given'"),
}


@pytest.mark.parametrize(("given", "message"), WRONG.values(), ids=WRONG)
def test_what_is_not_there(alone, given, message):
    with pytest.raises(ValueError, match=message):
        dn.exemplars(alone, **{"layer": "relu1", "channels": 0, **given})


def test_lowest_that_were_not_mined(tmp_path, work):
    _, model, data = work
    bare = mine(model, data, tmp_path / "a.h5", ["relu1"], 3, 4)
    with pytest.raises(ValueError, match="holds no lowest images; mine them"):
        dn.exemplars(bare, "relu1", 0, end="lowest")


@pytest.mark.parametrize("bands", [7.5, "rgb", (0, "1", 2), object()])
def test_bands_that_are_no_numbers(alone, bands):
    with pytest.raises(TypeError, match="expected three numbers, counted from 0"):
        dn.exemplars(alone, "relu1", 2, bands=bands)


def test_one_number_is_one_band(alone):
    assert dn.exemplars(alone, "relu1", 2, bands=1).bands == (1,)
    with pytest.raises(ValueError, match=r"bands=\(7,\) was given for an image of 3 bands"):
        dn.exemplars(alone, "relu1", 2, bands=7)
