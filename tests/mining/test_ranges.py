"""Strongest, lowest and sample against all activations, sorted in plain Python."""

import hashlib
import math

import numpy as np
import pytest
import torch

from deconvnet.mining.mine import mine
from deconvnet.store.store import open_store
from tests.support.mined import Pictures, Ties, pictures, slow
from tests.support.mining_runs import ended, killed_and_resumed, mined, same, started, stopped

BROKEN = (4, 8)
LOWEST, SAMPLE, SEED = 5, 6, 2
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


def good():
    return [image for image in range(13) if image not in BROKEN]


def drawn(seed=SEED, images=None, n=SAMPLE, salt=""):
    """The sample: the images of the smallest hashes."""
    key = {
        i: hashlib.blake2b(f"{salt}{seed} {i}".encode(), digest_size=8).digest()
        for i in (good() if images is None else images)
    }
    return sorted(key, key=lambda i: (key[i], i))[:n]


def quantity(one, rank, sign):
    """What ranks an image, its position and the value there; None if all is NaN."""
    every = [(v, p) for p, v in enumerate(one.flatten().tolist()) if not math.isnan(v)]
    if not every:
        return None
    value, place = min(every, key=lambda each: (-sign * each[0], each[1]))
    of = value if rank == "max" else float(np.float32(math.fsum(v for v, _ in every) / len(every)))
    position = tuple(map(int, np.unravel_index(place, one.shape))) if one.ndim else (-1, -1)
    return of + 0.0, position, value + 0.0


def ranked(values, rank, *, sign, k, ties=1):
    """[(activation, image, position, peak)] of every channel, and how many tie with the last."""
    tables, counts = [], []
    for channel in range(values.shape[1]):
        found = {i: quantity(values[i, channel], rank, sign) for i in good()}
        entries = [(q[0], i, q[1], q[2]) for i, q in found.items() if q is not None]
        entries.sort(key=lambda e: (-sign * e[0], ties * e[1]))
        tables.append(entries[:k])
        last = entries[k - 1][0] if len(entries) >= k else None
        counts.append(sum(e[0] == last for e in entries[k:]))
    return tables, counts


def sampled(values, rank, images):
    """The same of the images of a sample, None for a map of NaN alone."""
    tables = []
    for channel in range(values.shape[1]):
        found = ((i, quantity(values[i, channel], rank, 1)) for i in images)
        tables.append([None if q is None else (q[0], i, q[1], q[2]) for i, q in found])
    return tables


def rows(table, rank):
    """A table of a store like those above; what is empty must be empty in every column."""
    found = []
    for channel in range(table.channels):
        entries = []
        for slot in range(table.k):
            place = tuple(table.positions[channel, slot].tolist())
            value = float(table.activation[channel, slot])
            image = int(table.images[channel, slot])
            peak = value if rank == "max" else float(table.peak[channel, slot])
            empty = math.isnan(value)
            assert empty == math.isnan(peak) == (image == -1)
            if empty:
                assert place == (-1, -1)
                assert table.box[channel, slot].tolist() == [-1] * 4
            entries.append(None if empty else (value, image, place, peak))
        found.append(entries)
    return found


def full(entries):
    return [[each for each in channel if each is not None] for channel in entries]


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
