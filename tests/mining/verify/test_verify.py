"""Verification passes on what was mined, and tells each thing that is not as the store says."""

from dataclasses import replace

import numpy as np
import pytest
import torch

import deconvnet
from deconvnet import DeconvNet
from deconvnet.mining.mine import mine
from deconvnet.mining.verify.recompute import ACROSS, TOLERANCE, draw_entries
from deconvnet.mining.verify.verify import verify
from deconvnet.store.store import open_store
from tests.support.hostile import BySize, Refining, made
from tests.support.mined import SIZE, Pictures, Ties, pictures

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")
LAYERS = ("conv1", "relu1", "relu", "relu3", "fc2")
ALL = 10_000  # more than there are entries


@pytest.fixture(scope="module", params=["ties", "gaussian"])
def work(request, tmp_path_factory):
    """Store, model, images: once full of ties, dead channels and NaN, once without."""
    model, images = Ties(quantised=request.param == "ties").eval(), pictures(30)
    path = tmp_path_factory.mktemp("work") / "top.h5"
    return mine(model, Pictures(images), path, LAYERS, 3, 4), model, images


def kinds(found):
    return {mismatch.kind for mismatch in found.mismatches}


@pytest.mark.parametrize("n", [1, 20, ALL])
@pytest.mark.parametrize("tolerance", [None, 0.0])
def test_what_was_mined_passes_bit_for_bit(work, n, tolerance):
    store, model, images = work
    found = verify(store, model, Pictures(images), n=n, tolerance=tolerance)
    assert found.mismatches == ()
    assert found.passed
    entries = sum(int((table.image >= 0).sum()) for table in store.values())
    assert found.checked == found.equal == min(n, entries)
    assert found.images % 4 == 0 or found.images == 30
    assert found.images >= min(n, 8)


@pytest.mark.parametrize("batch_size", [1, 3, 7, 30])
def test_in_the_recorded_batch_shape(tmp_path, batch_size):
    model, images = Ties(quantised=False).eval(), pictures(30)
    store = mine(model, Pictures(images), tmp_path / "a.h5", LAYERS, 3, batch_size)
    found = verify(store, model, Pictures(images), n=ALL, tolerance=0.0)
    assert (found.mismatches, found.equal) == ((), found.checked)


@pytest.mark.parametrize("kind", [BySize, Refining])
def test_models_that_torch_fx_cannot_follow(tmp_path, kind):
    model, data = made(kind), Pictures(torch.randn(20, 3, 14, 14).double())
    store = mine(model, data, tmp_path / "a.h5", k=3, batch_size=4)
    found = verify(store, model, data, tolerance=0.0)
    assert (found.mismatches, found.equal) == ((), found.checked)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_other_precisions(tmp_path, dtype):
    model, images = Ties(quantised=False).eval().to(dtype), pictures(30, nan=False)
    data = Pictures(images.to(dtype))
    store = mine(model, data, tmp_path / "a.h5", LAYERS, 3, 4)
    found = verify(store, model, data, n=ALL)
    assert (found.mismatches, found.equal) == ((), found.checked)
    if dtype == torch.bfloat16:  # what another precision gives is not what the store says
        assert "activation" in kinds(verify(store, model.float(), Pictures(images), n=ALL))


def test_public_and_from_the_file_with_a_net(work):
    store, model, images = work
    again = open_store(store.path)
    assert deconvnet.verify(again, DeconvNet(model), Pictures(images)).passed


def test_a_store_that_does_not_tell_its_batch_shape(work):
    store, model, images = work
    told = {name: v for name, v in store.attributes.items() if name != "batch_shape"}
    found = verify(replace(store, attributes=told), model, Pictures(images))
    assert found.passed


def test_broken_images_are_no_mismatch_where_they_were_broken_before(tmp_path):
    model, images = Ties().eval(), pictures(30)
    store = mine(model, Pictures(images, broken=[8]), tmp_path / "a.h5", LAYERS, 3, 4)
    assert verify(store, model, Pictures(images, broken=[8]), n=ALL).passed
    found = verify(store, model, Pictures(images, broken=[8, 9]), n=None)
    assert "9 cannot be read: '9.jpg' cannot be used: it is broken" in str(found.mismatches)


# --- what must be caught ----------------------------------------------------------------------


def test_other_weights(work):
    store, model, images = work
    other = Ties(quantised=False, seed=9).eval()
    found = verify(store, other, Pictures(images))
    assert {"model", "activation", "missing"} <= kinds(found)


def test_one_weight_is_told_by_the_fingerprint_and_by_what_it_changes(work):
    store, model, images = work
    other = Ties().eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.conv1.weight[3, 0, 0, 0] += 0.5
    assert {"model", "activation"} <= kinds(verify(store, other, Pictures(images), n=ALL))
    other.load_state_dict(model.state_dict())
    other.norm.num_batches_tracked += 1  # nothing computes with it
    assert kinds(verify(store, other, Pictures(images), n=ALL)) == {"model"}


class Wider(Ties):
    def __init__(self):
        super().__init__()
        self.fc2 = torch.nn.Linear(7, 4)


def test_a_model_of_other_layers(work):
    store, model, images = work
    found = verify(store, Wider().eval(), Pictures(images))
    assert "fc2: the model has (4,) channels, rows and columns, the store says (3,)" in str(
        found.mismatches[1]
    )
    one = replace(store, layers={"relu9": store["relu"]})
    found = verify(one, model, Pictures(images))
    assert kinds(found) == {"layer"}
    assert "relu9: the model has no such layer" in str(found.mismatches[0])


class Renamed(Pictures):
    def path(self, index):
        return f"n{index}.jpg"


def test_other_data(work):
    store, model, images = work
    flipped = verify(store, model, Pictures(images.flip(0)), n=ALL)
    assert {"data set", "activation", "missing"} <= kinds(flipped)
    fewer = verify(store, model, Pictures(images[:20]), n=ALL)
    assert {"data set", "image"} <= kinds(fewer)
    assert "is not in the data set, which has 20" in str(fewer.mismatches)
    renamed = verify(store, model, Renamed(images), n=ALL)
    assert "is 'n0.jpg', the store says '0.jpg'" in str(renamed.mismatches)
    changed = images.clone()
    index = int(store["relu3"].image[1, 0])
    changed[index] = changed[index].roll(1, -1)
    assert "activation" in kinds(verify(store, model, Pictures(changed), n=ALL))
    narrow = verify(store, model, Pictures(images[..., :-1]))
    assert {"data set", "batch shape", "layer"} <= kinds(narrow)


def test_an_image_that_was_added_and_beats_them_all(work):
    """Only the images that no entry names can tell, so they are run too."""
    store, model, images = work
    louder = torch.cat([images, 9 * images])  # half of those that may be drawn
    found = verify(store, model, Pictures(louder), n=ALL)
    assert kinds(found) == {"data set", "missing"}
    strangers = {int(m.what.split()[1]) for m in found.mismatches if m.kind == "missing"}
    assert strangers
    assert min(strangers) >= 30


def edited(store, layer, **columns):
    """The store with some columns of a layer's table changed by functions."""
    table = store[layer]
    new = {}
    for name, change in columns.items():
        new[name] = getattr(table, name).copy()
        change(new[name])
    return replace(store, layers={**store.layers, layer: replace(table, **new)})


def put(place, value):
    return lambda array: array.__setitem__(place, value)


def add(place, value):
    return lambda array: array.__setitem__(place, array[place] + value)


EDITS = {
    "activation": ({"activation": add((2, 0), 0.5)}, {"activation"}),
    "row": ({"row": add((2, 1), 1)}, {"position", "box"}),
    "col": ({"col": put((2, 1), 99)}, {"position"}),
    "negative row": ({"row": put((2, 1), -1)}, {"position"}),
    "box": ({"box": add((2, 1, 3), 1)}, {"box"}),
}


@pytest.mark.parametrize(("columns", "expected"), EDITS.values(), ids=EDITS)
def test_a_table_that_was_edited(work, columns, expected):
    store, model, images = work
    found = verify(edited(store, "relu1", **columns), model, Pictures(images), n=ALL)
    assert kinds(found) == expected
    assert len(found.mismatches) == len(expected)
    assert "relu1:2 of image" in str(found.mismatches[0])


def test_a_second_of_equal_positions_is_not_the_first(tmp_path):
    """The dead channel is 0 everywhere; only the first place is right, also within tolerance."""
    model, images = Ties().eval(), pictures(30)
    store = mine(model, Pictures(images), tmp_path / "a.h5", LAYERS, 3, 4)
    assert (store["relu1"].activation[0] == 0).all()
    moved = edited(store, "relu1", col=put((0, 0), 1))
    assert kinds(verify(moved, model, Pictures(images), n=ALL)) == {"position", "box"}


EMPTY = {"activation": np.nan, "image": -1, "row": -1, "col": -1, "box": -1}


def without_first(empty):
    """A channel's first entry is left out, and the others move up."""

    def change(array):
        array[2] = [*array[2, 1:], np.full_like(array[2, 0], empty)]

    return change


def test_an_entry_that_was_left_out(work):
    """What is in the table is right, but there is room, and the strongest is not in it."""
    store, model, images = work
    fewer = edited(store, "relu1", **{name: without_first(e) for name, e in EMPTY.items()})
    found = verify(fewer, model, Pictures(images), n=ALL)
    missing = [m.what for m in found.mismatches if m.kind == "missing"]
    assert {what.partition(" gives ")[2].split()[0] for what in missing} == {"relu1:2"}
    assert kinds(found) <= {"missing", "counts"}  # where all positive ones stood in the table


def test_a_full_table_that_is_not_the_strongest(work, tmp_path):
    """Its second to fourth: every entry is right, the order too, and it is no top three."""
    _, model, images = work
    whole = mine(model, Pictures(images), tmp_path / "a.h5", ["relu3"], 4, 4)
    layer = whole["relu3"]
    less = replace(layer, **{name: getattr(layer, name)[:, 1:].copy() for name in EMPTY})
    second = replace(whole, layers={"relu3": less})
    assert verify(whole, model, Pictures(images), n=ALL).passed
    assert kinds(verify(second, model, Pictures(images), n=ALL)) == {"missing"}


def test_last_bits_pass_unless_they_matter(work):
    """Another machine differs there; with tolerance=0 they must be the same."""
    store, model, images = work
    channel = int(np.argmax(store["fc2"].activation[:, 0]))
    value = store["fc2"].activation[channel, 0]
    near = edited(store, "fc2", activation=put((channel, 0), np.nextafter(value, np.inf)))
    found = verify(near, model, Pictures(images), n=ALL)
    assert found.passed
    assert found.equal == found.checked - 1
    assert kinds(verify(near, model, Pictures(images), n=ALL, tolerance=0.0)) == {"activation"}


def test_what_a_gpu_may_differ_by(work):
    store, model, images = work
    assert verify(store, model, Pictures(images)).tolerance == TOLERANCE == 1e-4
    other = replace(store, attributes={**store.attributes, "device": "cuda:1"})
    assert verify(other, model, Pictures(images)).tolerance == ACROSS == 1e-2


# --- which entries ----------------------------------------------------------------------------


def test_entries_are_drawn_once_each_and_by_the_seed(work):
    store, *_ = work
    chosen = draw_entries(store, 20, random_state=1)
    assert sum(map(len, chosen.values())) == 20
    assert all(len(set(places)) == len(places) for places in chosen.values())
    assert all(store[name].image[p] >= 0 for name, places in chosen.items() for p in places)
    assert draw_entries(store, 20, random_state=1) == chosen
    assert draw_entries(store, 20, random_state=2) != chosen
    everything = draw_entries(store, ALL, random_state=1)
    counts = {name: int((table.image >= 0).sum()) for name, table in store.items()}
    assert {name: len(places) for name, places in everything.items()} == counts
    assert draw_entries({}, 5, random_state=0) == {}


def test_the_model_comes_back_as_it_was_and_progress_is_told(work):
    store, model, images = work
    model.train()
    told = []
    try:
        verify(store, model, Pictures(images), report=lambda done, of: told.append((done, of)))
        assert model.training
        assert model.drop.training
    finally:
        model.eval()
    assert told[-1][0] == told[-1][1]
    assert len(told) > 1
    assert SIZE == images.shape[2:]
