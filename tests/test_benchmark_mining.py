"""The benchmark's mining: in turns, over all rectifiers, and only while the tables agree."""

import pytest
import torch

import deconvnet
from tests.support.benchmarked import mining, noise, peers, put_tiny


@pytest.fixture(autouse=True)
def tiny(monkeypatch):
    return put_tiny(monkeypatch)


class Images(mining.Watched):
    """Noise in the place of photographs."""

    def __init__(self, count):
        self.images, self.begun = noise(count), 0.0


def plain_of(model, images, k=4, batch=5):
    plain = peers.Plain(model, ["1", "4", "8"], k)
    for some in images.split(batch):
        plain.take(some)
    plain.remove()
    return plain


def test_mining_runs_all_sides_and_all_rectifiers(tiny):
    found = mining.mining(tiny, Images(15), name="tiny", batch=5, rounds=2)
    assert (found.layers, found.units, found.batches, found.batch) == (3, 6 + 8 + 5, 3, 5)
    assert set(mining.SIDES) <= set(found.seconds)
    assert all(len(told) == 2 and min(told) > 0 for told in found.seconds.values())
    assert all(a < b for a, b in zip(found.late["ours"], found.seconds["ours"], strict=True))
    assert len(found.once) == len(found.later) == 2
    assert min(found.once) > 0
    assert found.over("forward") == [1, 1]
    assert not any(module._forward_hooks for module in tiny.modules())


def test_batches_go_in_turns(tiny):
    told, dataset = [], Images(4)
    others = {name: lambda batch, name=name: told.append((name, len(batch))) for name in "bc"}
    batches = dataset.images.split(2)
    turns = mining.Turns(others, batches, dataset, settle=lambda: told.append("|"))
    for done in (2, 4):
        told.append("a")
        turns.report(done, 4)
    assert told == ["a", "|", ("b", 2), "|", ("c", 2), "|"] * 2
    assert set(turns.seconds) == {"b", "c", "ours"}


def test_a_miner_that_does_not_tell_of_each_batch_is_not_timed(tiny, monkeypatch):
    mine = deconvnet.mine

    def silent(*arguments, report, **others):
        last = lambda done, of: report(done, of) if done == of else None  # noqa: E731
        return mine(*arguments, report=last, **others)

    monkeypatch.setattr(mining.deconvnet, "mine", silent, raising=False)
    with pytest.raises(ValueError, match="told of 1 microbatches, expected 3"):
        mining.mining(tiny, Images(15), name="tiny", batch=5, rounds=1)


@pytest.mark.parametrize("count", [15, 3])
def test_the_plain_script_finds_the_same(tiny, tmp_path, count):
    images = noise(count)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", ["1", "4", "8"], 4, 5)
    peers.same_tables(store, plain_of(tiny, images))
    table = plain_of(tiny, images)
    assert peers._clear(table.value["4"])[:-1].any(), "no entry would be held to its image"


@pytest.mark.parametrize("layer", ["1", "4", "8"])
@pytest.mark.parametrize("what", ["value", "image", "place"])
def test_another_table_is_an_error(tiny, tmp_path, what, layer):
    """Planted: one wrong number in the plain script's table."""
    images = noise(15)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", ["1", "4", "8"], 4, 5)
    plain = plain_of(tiny, images)
    channel = int(peers._clear(plain.value[layer])[0].nonzero()[0])
    part = getattr(plain, what)[layer]
    part[0, channel] = part[0, channel] * 1.01 if what == "value" else part[0, channel] + 1
    with pytest.raises(ValueError, match=f"{layer}: the strongest images of channel {channel} di"):
        peers.same_tables(store, plain)


def test_entries_that_something_leaves_open_are_not_clear():
    value = torch.tensor([[9.0, 5, 0], [8, 5, 0], [7, 4, 0], [6, 3, 0]])
    assert peers._clear(value).T.tolist() == [
        [True, True, True, False], [False, False, True, False], [False] * 4,
    ]  # fmt: skip


def test_zennit_crp_is_asked_where_it_is_installed(tiny, tmp_path):
    if not peers.crp_version():
        pytest.skip("zennit-crp is not installed: pip install --no-deps zennit-crp")
    images = noise(10)
    seconds, values = peers.crp(tiny, peers.Labelled(images), ["1", "4", "8"], batch=5)
    assert seconds > 0
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", ["1", "4", "8"], 4, 5)
    peers.same_values(store, values)
    assert not any(module._forward_hooks for module in tiny.modules())


def test_other_activations_are_an_error(tiny, tmp_path):
    """Planted: one number of a peer's table is off by a thousandth."""
    images = noise(15)
    store = deconvnet.mine(tiny, list(images), tmp_path / "a.h5", ["1"], 4, 5)
    values = torch.from_numpy(store["1"].activation[:]).T.clone()
    peers.same_values(store, {"1": values})
    values[3, 2] *= 1.001
    peers.same_values(store, {"1": values[:3]})
    with pytest.raises(ValueError, match="1: the greatest activations are other ones"):
        peers.same_values(store, {"1": values})
