"""Lies of a store about itself, beside tables that are right."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from deconvnet import Preprocessing
from deconvnet.mining.mine import Source, mine
from deconvnet.mining.verify.verify import verify
from deconvnet.store.store import Failed, open_store
from tests.support.mined import SIZE, Pictures, Prepared, Ties, pictures

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")
LAYERS = ("conv1", "relu1", "relu3", "fc2")
OTHER = Preprocessing(SIZE, None, (0.4, 0.5, 0.5), (0.5, 0.5, 0.5))


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    model, images = Ties(quantised=False).eval(), pictures(60)
    data = Prepared(images, broken=[7])
    path = tmp_path_factory.mktemp("work") / "top.h5"
    return mine(model, data, path, LAYERS, 3, 4), model, data


def kinds(found):
    return {mismatch.kind for mismatch in found.mismatches}


def told(store, **attributes):
    return replace(store, attributes={**store.attributes, **attributes})


def counted(store, layer, **counters):
    table = store[layer]
    new = {
        name: np.full_like(getattr(table, name), value) if np.isscalar(value) else value
        for name, value in counters.items()
    }
    return replace(store, layers={**store.layers, layer: replace(table, **new)})


@pytest.mark.parametrize("n", [20, None])
def test_what_was_mined_passes(work, n):
    store, model, data = work
    found = verify(store, model, data, n=n, tolerance=0.0)
    assert (found.mismatches, found.unchecked) == ((), ())
    entries = sum(int((table.image >= 0).sum()) for table in store.values())
    assert (found.checked, found.images) == (entries, 59) if n is None else (20, found.images)


LIES = {
    "fewer images": (lambda s: told(s, images_seen=5), {"data set", "counts"}),
    "more failed": (lambda s: told(s, images_failed=3), {"data set", "store"}),
    "a good image failed": (
        lambda s: replace(
            told(s, images_seen=58, images_failed=2), failed=[*s.failed, Failed(9, "9.jpg", "no")]
        ),
        {"image"},
    ),
    "an image that is not there failed": (
        lambda s: replace(
            told(s, images_seen=58, images_failed=2), failed=[*s.failed, Failed(99, "x", "no")]
        ),
        {"image"},
    ),
    "another size": (lambda s: told(s, batch_shape=(4, 3, 9, 9)), {"batch shape"}),
    "a batch of all memory": (lambda s: told(s, batch_shape=(2**40, 3, *SIZE)), {"batch shape"}),
    "preprocessing": (lambda s: told(s, transform=OTHER.to_json()), {"preprocessing"}),
    "field": (
        lambda s: replace(s, layers={**s.layers, "relu1": replace(s["relu1"], field=(5, 5))}),
        {"layer"},
    ),
    "stride": (
        lambda s: replace(s, layers={**s.layers, "relu1": replace(s["relu1"], stride=(1, 1))}),
        {"layer"},
    ),
    "all dead": (lambda s: counted(s, "relu1", nonzero=0.0), {"counts"}),
    "more than all": (lambda s: counted(s, "relu1", nonzero=1.5), {"counts"}),
    "less than nothing": (lambda s: counted(s, "fc2", nonzero=-5.0), {"counts"}),
    "a mean above the greatest": (lambda s: counted(s, "relu3", mean=1e9), {"counts"}),
    "less than no NaN": (lambda s: counted(s, "relu1", nan=-1), {"counts"}),
    "no layers": (lambda s: replace(s, layers={}), {"store"}),
}


@pytest.mark.parametrize(("lie", "expected"), LIES.values(), ids=LIES)
def test_a_lie_is_told(work, lie, expected):
    store, model, data = work
    assert kinds(verify(lie(store), model, data, n=1)) >= expected
    assert kinds(verify(lie(store), model, data, n=1)) <= {
        *expected,
        "data set",
        "ties",
    }  # of dead channels: all other images


SMALL = {
    "mean": lambda t: {"mean": t.mean - 0.01 * np.abs(t.mean).max()},
    "nonzero": lambda t: {"nonzero": np.where(t.nonzero > 0.2, t.nonzero - 1 / 59, t.nonzero)},
    "nan": lambda t: {"nan": t.nan + 1},
}


@pytest.mark.parametrize("change", SMALL.values(), ids=SMALL)
def test_small_lies_of_counters_are_told_by_all_images(work, change):
    store, model, data = work
    lie = counted(store, "relu1", **change(store["relu1"]))
    assert "counts" in kinds(verify(lie, model, data, n=None))


def test_what_cannot_be_compared_is_told(work):
    store, model, data = work
    bare = told(store, model_fingerprint="", dataset_fingerprint="")
    found = verify(bare, model, Pictures(data.images, broken=[7]))
    assert found.passed
    assert len(found.unchecked) == 3
    assert "the fingerprint of the model" in found.unchecked[0]
    assert "the preprocessing" in found.unchecked[2]


def test_positions_of_a_whole_layer_that_are_nowhere(work):
    store, model, data = work
    lie = replace(
        store,
        layers={"relu1": replace(store["relu1"], row=np.full_like(store["relu1"].row, -5))},
    )
    assert kinds(verify(lie, model, data)) == {"position"}


def test_numbers_that_draw_nothing(work):
    store, model, data = work
    with pytest.raises(ValueError, match="random_state=-1 was given"):
        verify(store, model, data, random_state=-1)
    with pytest.raises(ValueError, match="n=0 was given, expected at least one entry"):
        verify(store, model, data, n=0)


def test_a_layer_that_is_nowhere_positive(tmp_path):
    """All that was counted of it stands in the table: none."""
    model = torch.nn.Sequential(torch.nn.Conv2d(3, 2, 3)).eval()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
    data = Pictures(pictures(9, nan=False))
    store = mine(model, data, tmp_path / "a.h5", source=Source())
    assert verify(open_store(store.path), model, data).passed
    lie = counted(store, "0", nonzero=1 / 9)
    assert kinds(verify(lie, model, data, n=1)) == {"counts"}
