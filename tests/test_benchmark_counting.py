"""What the benchmark counts: multiply-adds, turns, seconds and bytes."""

import json
import subprocess

import pytest
import torch
import torchvision

import deconvnet
from deconvnet import Unit
from tests.support.benchmarked import (
    case,
    cases,
    memory,
    noise,
    put_tiny,
    rows,
    runners,
    timing,
    whole,
)


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return put_tiny(monkeypatch)


@pytest.mark.parametrize(
    ("name", "published"), [("alexnet", 0.714), ("vgg16", 15.47), ("resnet50", 4.089)]
)
def test_multiply_adds_are_those_that_torchvision_publishes(name, published):
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None).eval()
        count = runners.multiply_adds(model, torch.empty(2, 3, 224, 224))
    assert count / 2e9 == pytest.approx(published, rel=1e-3)
    assert not any(module._forward_hooks for module in model.modules())


def test_a_row_counts_what_was_taken(monkeypatch):
    pytest.importorskip("captum", reason="captum is not installed: pip install -e .[bench]")
    """The rate is that of the way that ran, against the forward pass of the same round."""
    measured = {"peak": 9, "results": 1}
    monkeypatch.setattr(cases, "pictures", noise)
    monkeypatch.setattr(runners, "captum_of", whole)
    monkeypatch.setattr(rows.memory, "measured", lambda *a, **_: measured)
    found = rows.row(case(), rounds=2)
    taken = found.multiply_adds[found.way]
    assert taken == found.multiply_adds["taken"] > 0
    assert found.forwarded == 6 * (18 * 18 * 6 * 27 + 6 * 6 * 8 * 54 + 8 * 5)
    assert {side: len(told) for side, told in found.seconds.items()} == dict.fromkeys(rows.SIDES, 2)
    expected = taken / found.seconds["ours"][0] * found.seconds["forward"][0] / found.forwarded
    assert found.rate[0] == pytest.approx(expected)
    assert found.peaks == {"ours": 9, "captum": 9}


def test_the_sides_run_in_turns():
    told, now = [], [0.0]

    def side(name, seconds):
        def work():
            told.append(name)
            now[0] += seconds
            return object()

        return work

    found = timing.interleaved(
        {"a": side("a", 2), "b": side("b", 3)},
        rounds=3,
        settle=lambda: told.append("|"),
        clock=lambda: now[0],
    )
    assert "".join(told) == "|a||b|" * 3
    assert found == {"a": [2.0] * 3, "b": [3.0] * 3}


def test_ratios_are_of_rounds_and_shown_with_their_spread():
    assert timing.ratios([9.0, 20.0, 44.0], [1.0, 2.0, 4.0]) == [9, 10, 11]
    assert timing.spread([9.0, 11.0, 10.0]) == "10.0 (9.00–11.0)"
    assert timing.spread([0.6149], 2) == "0.6"
    assert timing.spread([]) == ""
    assert [timing.number(n) for n in (1234.5, 80.26, 1.0462, 0.0571)] == [
        "1234", "80.3", "1.05", "0.06",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="zip"):
        timing.ratios([1.0], [1.0, 2.0])


def test_a_peak_is_seen_though_it_is_over():
    peak, result = memory.peak_of(lambda: torch.ones(2**24).sum())
    assert 60e6 < peak < 200e6
    assert float(result) == 2**24
    again, _ = memory.peak_of(lambda: None)
    assert not memory.RESET.exists() or again < 30e6  # the mark falls between two calls


def test_results_weigh_as_much_as_what_they_keep_alive():
    base = torch.zeros(100, 3)
    parts = [deconvnet.Projection(base[i : i + 1], None, None) for i in (0, 7)]
    assert memory.weigh(parts) == memory.weigh(base[:1]) == base.nbytes
    assert memory.weigh(parts[0].pixels.clone()) == 12


def test_many_units_are_different_ones():
    units = memory.spread_units(10_000)
    assert len(set(units)) == 10_000
    assert {unit.image for unit in units} == set(range(memory.MANY.distinct))
    assert all(unit.channel < 256 and unit.row < 13 and unit.col < 13 for unit in units)


def test_memory_is_measured_in_another_process(monkeypatch):
    told = []

    def run(command, *, input, **_):
        told.append(json.loads(input))
        return subprocess.CompletedProcess(command, *answer)

    monkeypatch.setattr(memory.subprocess, "run", run)
    answer = (0, '{"peak": 5, "results": 2}', "")
    units = [Unit("4", 1, 2, 3, 0)]
    assert memory.measured(case(), units, side="ours") == {"peak": 5, "results": 2}
    assert cases.Case(**told[0]["case"]) == case()
    assert told[0]["units"] == [[1, 2, 3, 0]]
    answer = (1, "", "Traceback\nKeyError: 'nowhere'\n")
    with pytest.raises(RuntimeError, match="memory of ours was not measured: KeyError: 'nowhere'"):
        memory.measured(case(), units, side="ours")


@pytest.mark.parametrize("side", ["ours", "captum"])
def test_what_the_other_process_does(monkeypatch, side):
    if side == "captum":
        pytest.importorskip("captum", reason='captum is not installed: pip install -e ".[bench]"')
    monkeypatch.setattr(cases, "pictures", noise)
    monkeypatch.setattr(memory.torch, "set_num_threads", lambda threads: None)
    task = {
        "case": {"network": "tiny", "layer": "4", "rule": "guided"},
        "units": [[1, 2, 3, 0], [1, 0, 0, 1]],
        "side": side,
        "device": "cpu",
        "threads": 1,
    }
    found = memory._child(task)
    assert found["peak"] >= 0
    assert found["results"] > 0
