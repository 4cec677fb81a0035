"""Directions are verified as channels are: what is wrong in their tables is told."""

from dataclasses import replace

import numpy as np
import pytest

from deconvnet.mining.mine import mine
from deconvnet.mining.verify.verify import verify
from tests.support.mined import Pictures, Ties, pictures

SIZES = {"k": 3, "lowest": 4, "sample": 5, "random_state": 2, "batch_size": 4}
VECTORS = {"relu1": np.array([[1, -2, 0.3, 0, 1, 1], [0, 0, 0, 0, 0, -1]]), "fc1": np.eye(7)[:2]}
pytestmark = pytest.mark.filterwarnings("ignore:.*were NaN:UserWarning")


@pytest.fixture(scope="module")
def data():
    return Pictures(pictures(13), broken=(4,))


@pytest.fixture(scope="module", params=["max", "mean"])
def store(request, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("verified") / "a.h5"
    model = Ties(quantised=False).eval()
    return mine(
        model, data, path, ["relu1", "fc1"], directions=VECTORS, rank=request.param, **SIZES
    )


def found(store, data, n=None):
    model = Ties(quantised=False).eval()
    return verify(store, model, data, n=n, tolerance=0.0)


def changed(store, layer, **parts):
    """The store with other tables of the directions of one layer."""
    own = replace(store[layer].directions["given"], **parts)
    table = replace(store[layer], directions={"given": own})
    return replace(store, layers={**store.layers, layer: table})


@pytest.mark.parametrize("n", [None, 40])
def test_a_true_store_is_equal_to_the_last_bit(store, data, n):
    result = found(store, data, n)
    assert result.mismatches == ()
    tables = [each for table in store.values() for each in table.every.values()]
    assert len(tables) == 12
    entries = sum(int((each.images >= 0).sum()) for each in tables)
    assert (result.checked, result.equal) == (n or entries, n or entries)


def shifted(column, by):
    column = column.copy()
    column[0, 0] += by
    return column


LIES = {
    "another direction": (lambda t: {"vector": t.vector * np.float32(2)}, {"activation"}),
    "an activation": (lambda t: {"activation": shifted(t.activation, 1)}, {"activation"}),
    "a position": (lambda t: {"row": (t.row + 1) % t.size[0]}, {"position"}),
    "a box": (lambda t: {"box": t.box + np.int32(1)}, {"box"}),
    "a tie": (lambda t: {"ties": t.ties + 1}, {"ties"}),
    "a mean": (lambda t: {"mean": t.mean + 1}, {"counts"}),
    "a share": (lambda t: {"nonzero": 1 - t.nonzero}, {"counts"}),
    "a field": (lambda t: {"field": (9, 9)}, {"layer"}),
    "of another layer": (lambda t: {"lowest": replace(t.lowest, of="conv1")}, {"layer"}),
    "a lowest": (
        lambda t: {"lowest": replace(t.lowest, activation=shifted(t.lowest.activation, -1))},
        {"activation"},
    ),
    "a sampled": (
        lambda t: {"sample": replace(t.sample, activation=shifted(t.sample.activation, 1))},
        {"activation"},
    ),
}


@pytest.mark.parametrize(("lie", "kinds"), LIES.values(), ids=LIES)
def test_a_lie_is_told(store, data, lie, kinds):
    table = store["relu1"].directions["given"]
    told = found(changed(store, "relu1", **lie(table)), data).mismatches
    assert kinds <= {each.kind for each in told}
    assert any("directions" in each.what for each in told)
