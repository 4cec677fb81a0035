"""``mine --dry-run``: the estimate is near what the run takes, and nothing is written."""

import itertools
import json
import os

import pytest
import torch
from torch import nn

from deconvnet import UnmirroredError
from deconvnet.cli.commands.mine import duration, size
from deconvnet.mining.embed import embed
from deconvnet.mining.estimate import estimate
from deconvnet.mining.mine import mine
from deconvnet.mining.run.job import Settings
from tests.support.commands import make_files, said
from tests.support.mined import PREPARED, SIZE, Pictures, Ties

LAYERS = ("conv1", "relu", "relu3", "fc2")


@pytest.fixture(scope="module")
def work():
    return Ties(quantised=False).eval(), Pictures(torch.rand(50, 3, *SIZE) * 2 - 1)


def test_counts_and_sizes_are_those_of_the_run(work, tmp_path):
    model, data = work
    found = estimate(
        model,
        data,
        LAYERS,
        settings=Settings(4, 8),
        preprocessing=PREPARED,
        rectifiers=["deconvnet"],
    )
    store = mine(model, data, tmp_path / "a.h5", LAYERS, 4, 8)
    assert (found.images, found.microbatches) == (50, (7, 8))
    assert found.channels == {name: table.channels for name, table in store.items()}
    bare = store.path.stat().st_size
    assert 0.7 * bare < found.disk["store"] < 1.5 * bare
    made = embed(store, model, data, preprocessing=PREPARED, rectifiers=["deconvnet"])
    pictures = made.path.stat().st_size - bare
    told = found.disk["patches"] + found.disk["projections"]
    assert 0.6 * pictures < told < 3 * pictures  # dead channels and borders make it less
    assert found.disk["part"] > 0


def test_of_the_whole_range_and_of_directions(work, tmp_path):
    model, data = work
    how = {"lowest": 5, "sample": 30, "directions": {"relu": torch.eye(5)}}
    settings = Settings(4, 8, **how)
    found = estimate(model, data, LAYERS, settings=settings, preprocessing=PREPARED)
    store = mine(model, data, tmp_path / "a.h5", LAYERS, 4, 8, **how)
    bare = store.path.stat().st_size
    assert 0.7 * bare < found.disk["store"] < 1.5 * bare
    pictures = embed(store, model, data, preprocessing=PREPARED).path.stat().st_size - bare
    assert 0.6 * pictures < found.disk["patches"] < 3 * pictures


class Wide(nn.Module):
    """Two maps of the image's size at a time, then one number."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 10, 1), nn.Conv2d(10, 20, 1)

    def forward(self, x):
        return self.two(self.one(x)).amax((2, 3))


def test_memory_is_what_is_held_at_the_same_time():
    data = Pictures(torch.rand(6, 3, 8, 9))
    found = estimate(Wide(), data, ["two"], settings=Settings(2, 3))
    assert found.memory["activations"] == (10 + 20) * 8 * 9 * 3 * 4
    assert found.memory["model"] == (3 * 10 + 10 + 10 * 20 + 20) * 4
    assert (
        estimate(Wide(), data, ["one"], settings=Settings(2, 3)).memory["activations"]
        == (3 + 10) * 8 * 9 * 3 * 4
    )
    more = estimate(Wide(), data, ["two"], settings=Settings(20, 3))
    assert more.memory["tables"] - found.memory["tables"] == 20 * 18 * (8 + 8)  # key and place
    along = Settings(2, 3, directions={"one": torch.ones(7, 10)})
    along = estimate(Wide(), data, ["one"], settings=along).memory["activations"]
    assert along == (3 + 10 + 7) * 8 * 9 * 3 * 4  # and the responses


def test_the_second_microbatch_is_timed(work, monkeypatch):
    """The first one warms up."""
    model, data = work
    ticks = iter([0.0, 100.0, 102.5])
    monkeypatch.setattr("deconvnet.mining.estimate.time.perf_counter", lambda: next(ticks))
    assert estimate(model, data, ["fc2"], settings=Settings(4, 8)).seconds["mining"] == 2.5 * 7
    ticks = iter([0.0, 100.0])
    assert estimate(model, data, ["fc2"], settings=Settings(4, 64)).seconds["mining"] == 100.0


def test_pictures_are_timed_too(work, tmp_path, monkeypatch):
    """With a clock by which everything takes a second."""
    model, data = work
    assert estimate(model, data, LAYERS, settings=Settings(4, 8)).seconds["pictures"] == 0
    ticks = itertools.count()
    monkeypatch.setattr("deconvnet.mining.estimate.time.perf_counter", lambda: float(next(ticks)))
    options = {"preprocessing": PREPARED, "rectifiers": []}
    layers, settings = ["relu", "fc2"], Settings(4, 8)
    patches = estimate(model, data, layers, settings=settings, **options).seconds["pictures"]
    assert patches == 5 * 4 + min(3 * 4, 50)
    options["rectifiers"] = ["deconvnet", "guided"]
    both = estimate(model, data, layers, settings=settings, **options).seconds["pictures"]
    # one call a layer for the strongest units of all channels that are alive, a second each
    first = mine(model, Pictures(data.images[:16]), tmp_path / "a.h5", ["relu", "fc2"], 4, 8)
    alive = {name: int((table.activation[:, 0] > 0).sum()) for name, table in first.items()}
    assert both - patches == pytest.approx(2 * (5 * 4 / alive["relu"] + 3 * 4 / alive["fc2"]))


def test_a_policy_without_a_rule_is_told_before(work):
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU()).eval()
    options = {"preprocessing": PREPARED, "rectifiers": ["deconvnet"]}
    with pytest.raises(UnmirroredError, match="GELU"):
        estimate(model, work[1], ["1"], settings=Settings(4, 8), **options)
    found = estimate(
        model, work[1], ["1"], settings=Settings(4, 8), **options, fallback="derivative"
    )
    assert found.disk["projections"] > 0


@pytest.mark.filterwarnings("default")
def test_the_command_writes_nothing(tmp_path, capfd, monkeypatch):
    monkeypatch.chdir(make_files(tmp_path))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    options = ["--dry-run", "--store-projections", "deconvnet", "--layers", "relu2,classifier"]
    arguments = ["mine", "zoo:zfnet_mini", "photos", "-o", "new/top.h5", *options]
    code, out, err = said(capfd, *arguments)
    assert code == 0, err
    words = [line.split() for line in out.splitlines()]
    assert words[0] == "images 5 in 1 microbatch of 5".split()
    assert words[1] == "channels 463 in 2 layers".split()
    assert {"time", "memory", "disk"} <= {line[0] for line in words}
    assert out.splitlines()[-1] == "nothing was written"
    code, out, _ = said(capfd, *arguments, "--json")
    told = json.loads(out)
    assert told["dry_run"]
    assert told["channels"] == {"relu2": 96, "classifier": 367}
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before
    assert not os.path.exists("new")


@pytest.mark.parametrize(("k", "batch"), [(0, 8), (4, 0)])
def test_bad_numbers(work, k, batch):
    with pytest.raises(ValueError, match="both must be at least 1"):
        estimate(*work, ["fc2"], settings=Settings(k, batch))


@pytest.mark.parametrize(
    ("count", "words"), [(0, "0 bytes"), (999, "999 bytes"), (1000, "1 kB"), (8.4e9, "8.4 GB")]
)
def test_sizes_in_words(count, words):
    assert size(count) == words


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.25, "0.25 s"), (59, "59 s"), (61, "1 min 1 s"), (3600 * 30 + 90, "30 h 1 min")],
)
def test_times_in_words(seconds, words):
    assert duration(seconds) == words
