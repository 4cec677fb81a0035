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


def plain_of(model, images, k=4, batch=5):
    plain = mining_peers.Plain(model, LAYERS, k)
    for some in images.split(batch):
        plain.take(some)
    return plain


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
def test_the_plain_script_finds_the_same(tiny, tmp_path, count):
    images = noise(count)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", LAYERS, 4, 5)
    plain = plain_of(tiny, images)
    mining_peers.same_tables(store, plain)
    assert mining_peers.clear(plain.tables["4"][0])[:-1].any(), "no image would be compared"


@pytest.mark.parametrize("layer", LAYERS)
@pytest.mark.parametrize("what", [0, 1, 2], ids=["value", "image", "place"])
def test_another_table_is_an_error(tiny, tmp_path, what, layer):
    """Planted: one wrong number in the plain script's table."""
    images = noise(15)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", LAYERS, 4, 5)
    plain = plain_of(tiny, images)
    channel = int(mining_peers.clear(plain.tables[layer][0])[0].nonzero()[0])
    part = plain.tables[layer][what]
    part[0, channel] = part[0, channel] * 1.01 if what == 0 else part[0, channel] + 1
    said = f"{layer}: the greatest act" if what == 0 else f"{layer}: .* channel {channel} are"
    with pytest.raises(ValueError, match=said):
        mining_peers.same_tables(store, plain)


def test_entries_that_something_leaves_open_are_not_clear():
    value = torch.tensor([[9.0, 5, 0], [8, 5, 0], [7, 4, 0], [6, 3, 0]])
    assert mining_peers.clear(value).T.tolist() == [
        [True, True, True, False], [False, False, True, False], [False] * 4,
    ]  # fmt: skip


def test_a_peer_may_keep_fewer_but_no_others(tiny, tmp_path):
    """Planted: one number of a peer's table is off by a thousandth."""
    store = deconvnet.mine(tiny, list(noise(15)), tmp_path / "a.h5", ["1"], 4, 5)
    values = torch.from_numpy(store["1"].activation[:]).T.clone()
    mining_peers.same_values(store, {"1": values})
    values[3, 2] *= 1.001
    mining_peers.same_values(store, {"1": values[:3]})
    with pytest.raises(ValueError, match="1: the greatest activations by zennit-crp differ"):
        mining_peers.same_values(store, {"1": values})


def test_zennit_crp_is_asked_where_it_is_installed(tiny, tmp_path):
    if not mining_peers.installed():
        pytest.skip("zennit-crp is not installed: pip install --no-deps zennit-crp")
    images = noise(10)
    seconds, values = mining_peers.crp(tiny, images, LAYERS, batch=5)
    assert seconds > 0
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", LAYERS, 4, 5)
    mining_peers.same_values(store, values)
