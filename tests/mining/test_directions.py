"""Directions in the channels of a layer, mined beside it, against a full sort of all responses."""

import shutil

import numpy as np
import pytest
import torch

import deconvnet as dn
from deconvnet.mining.mine import Unfinished, mine
from deconvnet.mining.run.directions import Vectors
from deconvnet.mining.run.merge import merge
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.request import Request
from deconvnet.store.store import open_store
from tests.support.full_sorts import BROKEN, SAMPLE, SEED, drawn, full, ranked, rows, sampled
from tests.support.mined import Pictures, Ties, pictures, slow
from tests.support.mining_runs import (
    ended,
    killed_and_resumed,
    mined,
    same,
    started,
    stopped,
    the_model,
)  # fmt: skip

pytestmark = pytest.mark.filterwarnings("ignore:.*were NaN:UserWarning")

LOWEST = 5
VECTORS = {  # halves, so that float32 sums of the planted activations are exact
    "relu1": np.array([[0, 0, 1, 0, 0, 0], [1, -1, 0.5, 0, 2, -0.5], [-1] * 6], "f4"),
    "conv2": np.array([[0, 1, -1, 0.5, 2]]),
    "add_1": -np.eye(5, dtype="f4")[[1, 3]],
    "fc1": torch.tensor([[1.0, 0, -2, 0, 0.5, 0, 0], [0, 0, 0, 1, 0, 0, 0]]),
}


def made(path, **changes):
    options = {"k": 4, "batch_size": 4, "lowest": LOWEST, "sample": SAMPLE, "random_state": SEED}
    data = Pictures(pictures(13), broken=BROKEN)
    return mine(
        Ties().eval(), data, path, max_bad=5, **{**options, "directions": VECTORS, **changes}
    )


@pytest.fixture(scope="module", params=["max", "mean"])
def store(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp("directions") / "a.h5", rank=request.param)


@pytest.fixture(scope="module")
def responses():
    """What each direction responds, summed over channels in float64."""
    with torch.no_grad():
        values = Ties().eval().values(pictures(13))
    return {
        name: torch.einsum(
            "nc...,dc->nd...", values[name].double(), torch.as_tensor(vectors).double()
        )
        for name, vectors in VECTORS.items()
    }


def test_all_tables_are_those_of_a_full_sort(store, responses):
    rank = store.attributes["rank"]
    for name, values in responses.items():
        table = store[name].directions["given"]
        assert np.array_equal(table.vector, np.asarray(VECTORS[name], "f4"))
        strongest, ties = ranked(values, rank, sign=1, k=4)
        assert full(rows(table, rank)) == strongest, name
        assert table.ties.tolist() == ties, name
        lowest, ties = ranked(values, rank, sign=-1, k=LOWEST)
        assert full(rows(table.lowest, rank)) == lowest, name
        assert (table.lowest.ties.tolist(), table.lowest.of) == (ties, name)
        assert rows(table.sample, rank) == sampled(values, rank, drawn()), name


def test_the_comparison_would_catch_another_sign_or_the_channels(store, responses):
    with torch.no_grad():
        values = Ties().eval().values(pictures(13))
    rank, table = store.attributes["rank"], store["conv2"].directions["given"]
    told = full(rows(table, rank))
    assert told != ranked(-responses["conv2"], rank, sign=1, k=4)[0]
    assert told[0] not in ranked(values["conv2"], rank, sign=1, k=4)[0]


def test_layers_are_mined_as_without_directions(store, tmp_path):
    bare = made(tmp_path / "a.h5", rank=store.attributes["rank"], directions=None)
    assert list(bare) == list(store)
    assert not any(table.directions for table in bare.values())
    for name, table in bare.items():
        for kind, each in table.tables.items():
            other = store[name].tables[kind]
            assert np.array_equal(each.activation, other.activation, equal_nan=True)
            assert np.array_equal(each.images, other.images)


def test_of_one_channel_it_is_the_channel(tmp_path):
    """Floats of every size: the other products of the sum are zeros."""
    model, data = Ties(quantised=False).eval(), Pictures(torch.randn(9, 3, 17, 14))
    sizes = {"relu1": 6, "conv3": 5, "add_1": 5, "relu3": 5, "fc2": 3}
    eyes = {name: np.eye(count) for name, count in sizes.items()}
    options = {"k": 4, "batch_size": 4, "lowest": 4, "sample": 5, "directions": eyes}
    store = mine(model, data, tmp_path / "a.h5", **options)
    for name in sizes:
        table, one = store[name], store[name].directions["given"]
        for column in ("activation", "image", "row", "col", "nonzero", "nan", "ties"):
            assert np.array_equal(getattr(one, column), getattr(table, column)), (name, column)
        assert np.array_equal(one.sample.activation, table.sample.activation)
        assert np.allclose(one.mean, table.mean, rtol=1e-6)
        if table.lowest.of == name:
            assert np.array_equal(one.lowest.activation, table.lowest.activation)
            assert np.array_equal(one.lowest.image, table.lowest.image)


def test_a_direction_of_whole_maps_sees_what_project_sees(store):
    """The response, position and box are those of ``project(direction=)``."""
    net, images = dn.DeconvNet(Ties().eval(), "gradient"), pictures(13)
    for name in ("relu1", "add_1"):
        table = store[name].directions["given"]
        for direction in range(table.channels):
            unit = table.unit(name, direction, 0)
            (cut,) = net.project(
                images[unit.image][None], units=[dn.Unit(name, direction, unit.row, unit.col)],
                direction=VECTORS[name], crop=True,
            )  # fmt: skip
            assert cut.activation == pytest.approx(float(table.value[direction, 0]), rel=1e-5)
            assert cut.box == table.box_of(direction, 0)


def test_of_a_float_model_within_the_rounding_of_a_sum(tmp_path):
    model, images = Ties(quantised=False).eval(), torch.randn(9, 3, 17, 14)
    vectors = np.random.default_rng(0).normal(size=(7, 5))
    store = mine(
        model, Pictures(images), tmp_path / "a.h5", ["relu3"], 3, 4,
        directions={model.relu3: vectors},
    )  # fmt: skip
    with torch.no_grad():
        values = model.values(images)["relu3"].double()
    exact = torch.einsum("nc...,dc->nd...", values, torch.from_numpy(vectors))
    expected = slow(exact.float(), 3)
    table = store["relu3"].directions["given"]
    for direction, entries in enumerate(expected):
        assert table.image[direction].tolist() == [image for _, image, _, _ in entries]
        told = table.activation[direction].tolist()
        assert told == pytest.approx([value for value, *_ in entries], rel=1e-5)


# --- the same bytes --------------------------------------------------------------------------

ASKED = {
    "lowest": 3, "sample": 6, "random_state": 1,
    "directions": {"fc1": np.arange(-7, 7).reshape(2, 7) / 3, "relu1": [[0.3, -1, 1, 2, 0.1, 5]]},
}  # fmt: skip


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "top.h5"
    mined(path, **ASKED)
    return path


@pytest.mark.parametrize("count", [2, 3])
def test_processes_give_the_same_bytes(tmp_path, whole, count):
    path = tmp_path / "top.h5"
    assert set(ended([started(path, index, count, **ASKED) for index in range(count)])) == {0}
    assert same(path, whole)


def test_pieces_and_another_number_of_processes_give_the_same_bytes(tmp_path, whole):
    path = tmp_path / "top.h5"
    stopped(path, 5, **ASKED)
    stopped(path, 3, shard=(1, 3), **ASKED)
    stopped(path, 2, shard=(0, 2), **ASKED)
    # the same directions, named in another order and as other numbers
    again = {name: np.asarray(v, "f4") for name, v in reversed(ASKED["directions"].items())}
    mined(path, workers=2, **{**ASKED, "directions": again})
    assert same(path, whole)


def test_kills_give_the_same_bytes(tmp_path, whole):
    generator = torch.Generator().manual_seed(4)
    stores, wrong = killed_and_resumed(tmp_path, kills=3, generator=generator, **ASKED)
    assert wrong == []
    assert stores
    assert all(same(path, whole) for path in stores)


def test_parts_merge_in_any_order_to_the_same_bytes(tmp_path, whole):
    parts = []
    for index in range(3):
        path = tmp_path / str(index) / "top.h5"
        with pytest.raises(Unfinished):
            mined(path, shard=(index, 3), **ASKED)
        parts += PartFolder.beside(path).names()
    for order in ((0, 1, 2), (2, 0, 1)):
        folder = tmp_path / f"gathered {order}"
        folder.mkdir()
        for place, part in zip(order, parts, strict=True):
            shutil.copy(part, folder / f"part-{place}-{part.name}")
        merge(folder, tmp_path / f"{order}.h5", the_model())
        assert same(tmp_path / f"{order}.h5", whole)


@pytest.mark.parametrize(
    ("other", "there", "here"),
    [
        ({"relu1": [[0.3, -1, 1, 2, 0.1, 4]], "fc1": ASKED["directions"]["fc1"]}, "relu1", "1 x 6"),
        ({"fc1": ASKED["directions"]["fc1"]}, "1 x 6", "2 x 7"),
        (None, "2 x 7", r"\{\} here"),
    ],
    ids=["another direction", "another layer", "none"],
)
def test_other_directions_are_refused(tmp_path, whole, other, there, here):
    said = f"another set of directions: .*{there}.*there and .*{here}"
    with pytest.raises(ValueError, match=said):
        mined(whole, **{**ASKED, "directions": other})
    stopped(tmp_path / "a.h5", 3, **ASKED)
    with pytest.raises(ValueError, match=said):
        mined(tmp_path / "a.h5", **{**ASKED, "directions": other})


def test_a_finished_store_of_the_same_run_is_returned(whole):
    before = whole.stat().st_mtime_ns
    store = mined(whole, **ASKED)
    assert whole.stat().st_mtime_ns == before
    assert open_store(whole)["fc1"].directions["given"].channels == 2
    assert store["relu1"].directions["given"].channels == 1


# --- what cannot be asked for ----------------------------------------------------------------

WRONG = {
    "width": ({"relu1": np.ones((2, 5))}, ValueError, r"shape \(2, 5\) .* relu1 has 6 channels"),
    "NaN": ({"relu1": [[1] * 6, [np.nan] * 6]}, ValueError, "direction 1 of relu1 has numbers"),
    "infinity": ({"relu1": [[np.inf] * 6]}, ValueError, "direction 0 of relu1 has numbers"),
    "float32": ({"relu1": [[1e300] * 6]}, ValueError, "not finite .in float32"),
    "zero": ({"relu1": [[1] * 6, [0] * 6, [0] * 6]}, ValueError, "direction 1 of relu1 is zero, "),
    "unknown layer": ({"relu9": np.ones((2, 6))}, KeyError, "relu9"),
    "layer not mined": ({"pool": np.ones((1, 6))}, ValueError, "pool .* not among the layers"),
    "text": ({"relu1": [["a"] * 6]}, TypeError, "type <U1 .* real numbers"),
    "complex": ({"relu1": [[1j] * 6]}, TypeError, "type complex128"),
    "axes": ({"relu1": np.ones((1, 6, 1, 1))}, ValueError, r"shape \(1, 6, 1, 1\)"),
    "empty": ({"relu1": np.ones((0, 6))}, ValueError, r"shape \(0, 6\)"),
    "no mapping": (np.ones((1, 6)), TypeError, "type ndarray .* {layer: array"),
    "too many": ({"relu1": np.ones((2**21, 6), "f4")}, ValueError, "expected at most 8,388,608"),
}


@pytest.mark.parametrize(("given", "error", "match"), WRONG.values(), ids=WRONG)
def test_one_clear_error_before_any_work(tmp_path, given, error, match):
    with pytest.raises(error, match=match):
        mined(tmp_path / "a.h5", directions=given, resume=None, layers=["relu1", "fc1"])
    assert not list(tmp_path.iterdir())


def test_two_names_of_one_layer(tmp_path):
    model = the_model()
    given = {"fc1": np.ones((1, 7)), model.fc1: np.ones((1, 7))}
    with pytest.raises(ValueError, match="directions of fc1 were given twice"):
        mined(tmp_path / "a.h5", model=model, directions=given)


def test_what_vanishes_in_half_precision(tmp_path):
    model = Ties(quantised=False).eval().bfloat16()
    data = Pictures(torch.randn(4, 3, 17, 14).bfloat16())
    with pytest.raises(ValueError, match="not finite .in bfloat16"):
        mine(model, data, tmp_path / "a.h5", ["relu1"], directions={"relu1": [[3.4e38] * 6]})


def test_a_request_with_damaged_directions_is_refused():
    facts = {"batch_shape": [4, 3, 5, 6], "k": 9}
    asked = Request(facts, 10, {"b": 2}, directions={"b": Vectors.of(np.eye(2))})
    text = asked.to_json()
    assert Request.of_json(text) == asked
    for old, new in (
        ('"b": [2, "', '"b": [3, "'),
        ("AACA", "A!"),
        ('"b": [2, "AACA', '"b": [2, "'),
    ):
        assert old in text
        with pytest.raises(ValueError, match="does not say what was mined"):
            Request.of_json(text.replace(old, new))
