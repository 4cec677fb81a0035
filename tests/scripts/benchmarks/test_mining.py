"""The benchmark's mining: all sides, all rectifiers, and only while the tables agree."""

import pytest
import torch

import deconvnet
from scripts.benchmarks import mining, mining_peers
from scripts.benchmarks.timing import Setup
from tests.support.benchmarked import noise

LAYERS = ("1", "4", "8")
ROW = mining.Mining("tiny", batches=3, batch=5)


class Images(mining.Watched):
    """Noise in the place of photographs."""

    def __init__(self, count):
        self.images, self.started = noise(count), 0.0


def test_mining_times_all_sides_and_all_rectifiers(tiny):
    found = mining.timed(tiny, Images(15), ROW, Setup(rounds=2))
    assert (found["layers"], found["channels"]) == (3, 6 + 8 + 5)
    seconds, late = found["seconds"], found["late"]
    assert set(mining.SIDES) <= set(seconds)
    assert all(len(told) == 2 and min(told) > 0 for told in seconds.values())
    assert all(a < b for a, b in zip(late["ours"], seconds["ours"], strict=True))
    assert len(found["once"]) == 2
    assert min(found["once"]) > 0
    cells = [
        cell({**found, "batches": 3, "batch": 5, "network": "t"}) for cell in ROW.columns.values()
    ]
    assert cells[:3] == ["t", "3 (19)", "3 × 5"]
    assert not any(module._forward_hooks for module in tiny.modules())


def test_mining_that_does_not_report_each_batch_is_not_timed(tiny, monkeypatch):
    mine = deconvnet.mine

    def silent(*arguments, report, **others):
        last = lambda done, of: report(done, of) if done == of else None  # noqa: E731
        return mine(*arguments, report=last, **others)

    monkeypatch.setattr(mining.deconvnet, "mine", silent, raising=False)
    with pytest.raises(ValueError, match="reported 1 batches, expected 3"):
        mining.timed(tiny, Images(15), ROW, Setup(rounds=1))


@pytest.mark.parametrize("count", [15, 3])
@pytest.mark.parametrize("layer", LAYERS)
def test_the_plain_script_finds_the_same(tiny, tmp_path, count, layer):
    """And, planted, one wrong number in its table."""
    images = noise(count)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", LAYERS, 4, 5)
    plain = mining_peers.Plain(tiny, LAYERS, 4)
    for some in images.split(5):
        plain.take(some)
    value, image, place = plain.tables[layer]
    alive = value > 0
    found = torch.from_numpy(store[layer].image[:]).T[: len(value)]
    assert torch.equal(found[alive], image[alive])
    mining_peers.same_values(store, {layer: value}, "a plain script")
    value[0, alive[0].nonzero()[0]] *= 1.01
    with pytest.raises(ValueError, match=f"{layer}: the greatest activations by a plain script"):
        mining_peers.same_values(store, {layer: value}, "a plain script")


def test_a_peer_may_keep_fewer_but_no_others(tiny, tmp_path):
    """Planted: one number of a peer's table is off by a thousandth."""
    store = deconvnet.mine(tiny, list(noise(15)), tmp_path / "a.h5", ["1"], 4, 5)
    values = torch.from_numpy(store["1"].activation[:]).T.clone()
    mining_peers.same_values(store, {"1": values}, mining_peers.CRP)
    values[3, 2] *= 1.001
    mining_peers.same_values(store, {"1": values[:3]}, mining_peers.CRP)
    with pytest.raises(ValueError, match="1: the greatest activations by zennit-crp differ"):
        mining_peers.same_values(store, {"1": values}, mining_peers.CRP)


def test_zennit_crp_is_asked_where_it_is_installed(tiny, tmp_path):
    if not mining_peers.installed():
        pytest.skip("zennit-crp is not installed: pip install --no-deps zennit-crp")
    images = noise(10)
    seconds, values = mining_peers.crp(tiny, images, LAYERS, batch=5)
    assert seconds > 0
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", LAYERS, 4, 5)
    mining_peers.same_values(store, values, mining_peers.CRP)
