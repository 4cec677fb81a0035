"""Seconds and bytes: sides in turns, peaks that are over, a process of its own."""

import pytest
import torch

import deconvnet
from scripts.benchmarks import memory, timing
from scripts.benchmarks.timing import Setup


def test_the_sides_run_in_turns():
    calls = []
    sides = {name: lambda name=name: calls.append(name) for name in "ab"}
    found = timing.interleaved(sides, 3)
    turns = [name for i, name in enumerate(calls) if name != calls[i - 1] or i == 0]
    assert "".join(turns) == "ab" * 3
    assert all(len(seconds) == 3 and min(seconds) > 0 for seconds in found.values())


def test_ratios_are_of_rounds():
    assert timing.ratios([9.0, 20.0, 44.0], [1.0, 2.0, 4.0]) == [9, 10, 11]
    with pytest.raises(ValueError, match="zip"):
        timing.ratios([1.0], [1.0, 2.0])


def two_peaks():
    """Of a call that fills 64 MiB, and of one after it that fills nothing."""
    return memory.peak_of(lambda: torch.ones(2**24).sum()), memory.peak_of(lambda: None)


def test_a_peak_is_seen_though_it_is_over():
    # In a fresh process, as the benchmark does it: one that has run other tests may hold so much
    # free memory in its heap that 64 MiB more raise no peak.
    first, second = memory.in_fresh_process(two_peaks)
    assert 60e6 < first["peak"] < 200e6
    assert first["results"] == 4
    assert not memory.RESET.exists() or second["peak"] < 30e6  # the mark falls between two calls


def test_results_weigh_as_much_as_what_they_keep_alive():
    base = torch.zeros(100, 3)
    parts = [deconvnet.Projection(base[i : i + 1], None, None) for i in (0, 7)]
    assert memory.peak_of(lambda: parts)["results"] == base.nbytes
    assert memory.peak_of(lambda: base[:1].clone())["results"] == 12


def test_many_units_are_different_ones():
    units = memory.ManyUnits(10_000).units()
    assert len(set(units)) == 10_000
    assert {unit.image for unit in units} == set(range(10))
    assert all(unit.channel < 256 and unit.row < 13 and unit.col < 13 for unit in units)


def test_a_fresh_process_works_or_tells_why_not():
    assert memory.in_fresh_process(int, "7") == 7
    with pytest.raises(RuntimeError, match=r"the memory was not measured: ValueError\(.*seven"):
        memory.in_fresh_process(int, "seven")


@pytest.mark.parametrize("side", ["ours", "captum"])
def test_what_the_fresh_process_does(tiny, row, side, monkeypatch):
    if side == "captum":
        pytest.importorskip("captum", reason='captum is not installed: pip install -e ".[bench]"')
    monkeypatch.setattr(memory.torch, "set_num_threads", lambda threads: None)
    units = [deconvnet.Unit("4", 1, 2, 3, 0), deconvnet.Unit("4", 1, 0, 0, 1)]
    found = memory.peak_of_projection(row("guided"), 2, units, side, Setup())
    assert found["peak"] > -(2**20)  # bytes; of a tiny network, and the system gives pages back
    assert found["results"] > 0
