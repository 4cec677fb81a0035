"""Strongest, lowest and sample against all activations, sorted in plain Python."""

import numpy as np
import pytest
import torch

from deconvnet.mining.mine import mine
from deconvnet.store.store import open_store
from tests.support.full_sorts import BROKEN, SAMPLE, SEED, drawn, full, good, ranked, rows, sampled
from tests.support.mined import Pictures, Ties, pictures, slow
from tests.support.mining_runs import ended, killed_and_resumed, mined, same, started, stopped

LOWEST = 5
OF = {"relu1": "conv1", "relu": "conv2", "relu3": "add_1", "relu_1": "fc1"}
RANGES = {"lowest": LOWEST, "sample": SAMPLE, "random_state": SEED}


def made(path, **changes):
    data = Pictures(pictures(13), broken=BROKEN)
    options = {"k": 4, "batch_size": 4, **RANGES, **changes}
    with pytest.warns(UserWarning, match="were NaN"):
        return mine(Ties().eval(), data, path, max_bad=5, **options)


@pytest.fixture(scope="module", params=["max", "mean"])
def store(request, tmp_path_factory):
    return made(tmp_path_factory.mktemp("ranges") / "a.h5", rank=request.param)


@pytest.fixture(scope="module")
def values():
    with torch.no_grad():
        return Ties().eval().values(pictures(13))


def test_all_tables_are_those_of_a_full_sort(store, values):
    rank = store.attributes["rank"]
    assert set(OF) <= set(store)
    for name, table in store.items():
        strongest, ties = ranked(values[name], rank, sign=1, k=4)
        assert full(rows(table, rank)) == strongest, name
        assert table.ties.tolist() == ties, name
        lowest, ties = ranked(values[OF.get(name, name)], rank, sign=-1, k=LOWEST)
        assert full(rows(table.lowest, rank)) == lowest, name
        assert (table.lowest.ties.tolist(), table.lowest.of) == (ties, OF.get(name, name))
        assert rows(table.sample, rank) == sampled(values[name], rank, drawn()), name
        assert table.sample.image.tolist() == drawn()
    assert set(drawn()) <= set(store.images)


def test_the_planted_cases_are_there(store, values):
    """Ties beyond the last entry, NaN maps in the sample, dead channels, negative maxima."""
    rank = store.attributes["rank"]
    assert any(table.ties.any() for table in store.values())
    assert any(table.lowest.ties.any() for table in store.values())
    assert any((table.nonzero == 0).any() for table in store.values())
    assert 3 in drawn()  # whose pixels are NaN
    odd = [
        t for t in store.values() if (np.isnan(t.sample.activation) & (t.sample.image == 3)).any()
    ]
    assert odd
    assert any(values[name].isnan().any() for name in store)
    assert (store["relu1"].lowest.activation < 0).any() or rank == "mean"


WRONG = {
    "the sample per channel": lambda v, rank, name: (
        [
            sampled(v[name][:, c : c + 1], rank, drawn(salt=f"{c} "))[0]
            for c in range(v[name].shape[1])
        ]
        != sampled(v[name], rank, drawn())
    ),
    "another seed": lambda v, rank, name: drawn(seed=SEED + 1) != drawn(),
    "broken images drawn": lambda v, rank, name: drawn(images=range(13)) != drawn(),
    "ties the other way": lambda v, rank, name: (
        ranked(v[name], rank, sign=-1, k=LOWEST, ties=-1)
        != ranked(v[name], rank, sign=-1, k=LOWEST)
    ),
    "the lowest of what is rectified": lambda v, rank, name: (
        ranked(v["relu1"], rank, sign=-1, k=LOWEST) != ranked(v["conv1"], rank, sign=-1, k=LOWEST)
    ),
    "the other rank": lambda v, rank, name: (
        ranked(v[name], "max", sign=1, k=4) != ranked(v[name], "mean", sign=1, k=4)
    ),
}


@pytest.mark.parametrize("wrong", WRONG.values(), ids=WRONG)
def test_the_comparison_would_catch(store, values, wrong):
    """The data set tells each wrong table from the right one."""
    assert wrong(values, store.attributes["rank"], "conv1")


def test_maxima_agree_with_the_older_reference(store, values):
    if store.attributes["rank"] == "mean":
        pytest.skip("the older reference ranks by the maximum")
    images = good()
    for name, table in store.items():
        expected = slow(values[name][images], 4, images=images)
        told = [[(e[0], e[1], *e[2]) for e in channel] for channel in full(rows(table, "max"))]
        assert told == expected


def test_more_than_there_are(tmp_path):
    store = made(tmp_path / "a.h5", k=50, lowest=40, sample=30)
    table = store["conv1"]
    assert (table.k, table.lowest.k, table.sample.k) == (50, 40, 30)
    assert table.sample.image.tolist() == drawn(n=11) + [-1] * 19
    assert table.ties.tolist() == table.lowest.ties.tolist() == [0] * 6


def test_the_first_of_a_sample_are_a_smaller_one(store):
    assert drawn(n=3) == store["conv1"].sample.image[:3].tolist()


def test_without_them_nothing_more_is_kept(tmp_path):
    store = made(tmp_path / "a.h5", lowest=0, sample=0)
    assert store["conv1"].tables.keys() == {"strongest"}
    said = {name: store.attributes[name] for name in ("lowest", "sample", "random_state", "rank")}
    assert said == {"lowest": 0, "sample": 0, "random_state": 0, "rank": "max"}


@pytest.mark.parametrize("name", ["pool", "relu1"])
def test_the_pool_of_a_rectifier_is_never_negative_either(tmp_path, values, name):
    store = made(tmp_path / "a.h5", layers=["relu1", "pool"])
    assert store[name].lowest.of == "conv1"
    expected, _ = ranked(values["conv1"], "max", sign=-1, k=LOWEST)
    assert full(rows(store[name].lowest, "max")) == expected


# --- the same bytes --------------------------------------------------------------------------

ASKED = {"lowest": 7, "sample": 10, "random_state": 1}


@pytest.fixture(scope="module", params=["max", "mean"])
def whole(request, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "top.h5"
    with pytest.warns(UserWarning, match="were NaN"):
        mined(path, **ASKED, rank=request.param)
    return path


def asked(whole):
    return {**ASKED, "rank": open_store(whole).attributes["rank"]}


@pytest.mark.filterwarnings("ignore:.*were NaN")
@pytest.mark.parametrize("count", [2, 3])
def test_processes_give_the_same_bytes(tmp_path, whole, count):
    path = tmp_path / "top.h5"
    arguments = asked(whole)
    processes = [started(path, index, count, **arguments) for index in range(count)]
    assert set(ended(processes)) == {0}
    assert same(path, whole)


@pytest.mark.filterwarnings("ignore:.*were NaN")
def test_pieces_and_another_number_of_processes_give_the_same_bytes(tmp_path, whole):
    path = tmp_path / "top.h5"
    arguments = asked(whole)
    stopped(path, 5, **arguments)
    stopped(path, 3, shard=(1, 3), **arguments)
    stopped(path, 2, shard=(0, 2), **arguments)
    mined(path, workers=2, **arguments)
    assert same(path, whole)


@pytest.mark.filterwarnings("ignore:.*were NaN")
def test_kills_give_the_same_bytes(tmp_path, whole):
    generator = torch.Generator().manual_seed(4)
    stores, wrong = killed_and_resumed(tmp_path, kills=4, generator=generator, **asked(whole))
    assert wrong == []
    assert stores
    assert all(same(path, whole) for path in stores)


@pytest.mark.filterwarnings("ignore:.*were NaN")
@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lowest": 8}, "lowest is 7 there and 8 here"),
        ({"sample": 11}, "sample is 10 there and 11 here"),
        ({"random_state": 2}, "random_state is 1 there and 2 here"),
    ],
)
def test_another_request_is_refused(tmp_path, whole, change, message):
    with pytest.raises(ValueError, match=message):
        mined(whole, **{**asked(whole), **change})
    stopped(tmp_path / "a.h5", 3, **asked(whole))
    with pytest.raises(ValueError, match=message):
        mined(tmp_path / "a.h5", **{**asked(whole), **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"rank": "median"}, "rank was 'median'; use 'max' or 'mean'"),
        ({"lowest": -1}, "lowest=-1"),
        ({"sample": 2.5}, "sample"),
        ({"random_state": 2**63}, "random_state=9223372036854775808"),
    ],
)
def test_what_cannot_be_asked_for(tmp_path, change, message):
    with pytest.raises((ValueError, TypeError), match=message):
        mined(tmp_path / "a.h5", **change)
