"""The benchmark of lowest and samples: all ways are timed, and their strongest compared."""

import pytest

from scripts.benchmarks import ranges
from scripts.benchmarks.timing import Setup
from tests.support.benchmarked import noise


class Images(ranges.Watched):
    """Noise in the place of photographs."""

    def __init__(self, count):
        self.images = noise(count)


ROW = ranges.Ranges("tiny", batches=3, batch=5)


def test_all_ways_are_timed(tiny):
    found = ranges.timed(tiny, Images(15), ROW, Setup(rounds=2))
    assert set(found["seconds"]) == {"forward", *ranges.WAYS}
    assert all(len(told) == 2 for told in found["seconds"].values())
    assert ROW.key == "tiny,mining,ranges"


def test_strongest_that_are_others_are_not_timed(tiny, monkeypatch):
    ways = {**ranges.WAYS, ranges.WHOLE: {"k": 9, "rank": "mean"}}
    monkeypatch.setattr(ranges, "WAYS", ways)
    with pytest.raises(ValueError, match="depend on what else is mined"):
        ranges.timed(tiny, Images(15), ROW, Setup(rounds=1))
