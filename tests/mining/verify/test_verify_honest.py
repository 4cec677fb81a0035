"""Honest stores that must pass, though something about them is unusual."""

import json
from dataclasses import replace

import pytest
import torch
from torch import nn

from deconvnet.mining.embed import embed
from deconvnet.mining.mine import Source, mine
from deconvnet.mining.verify.verify import verify
from deconvnet.store.picture_reading import stored_exemplars
from deconvnet.store.store import open_store, write_store
from tests.support.mined import PREPARED, SIZE, Pictures, Prepared, Ties, pictures

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")
LAYERS = ("conv1", "relu1", "relu3", "fc2")


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    model, images = Ties(quantised=False).eval(), pictures(60)
    store = mine(model, Prepared(images), tmp_path_factory.mktemp("a") / "top.h5", LAYERS, 3, 4)
    return store, model, images


def kinds(found):
    return {mismatch.kind for mismatch in found.mismatches}


def test_failed_images_and_nan_to_the_last_bit(tmp_path):
    """Sums are rounded once for each microbatch, so that it matters which images are in one."""
    generator = torch.Generator().manual_seed(0)
    images = torch.randn(200, 3, 16, 16, generator=generator)
    images[[0, 17]] = torch.nan
    images[3, 0, 4:6, 4] = torch.nan
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3)).eval()
    data = Pictures(images, broken=[5])
    store = mine(model, data, tmp_path / "a.h5", k=3, batch_size=16)
    found = verify(store, model, data, n=None, tolerance=0.0)
    assert (found.mismatches, found.equal) == ((), found.checked)


def test_signs_that_another_machine_may_turn(work):
    """One image more or less is positive where its maximum is within the tolerance of zero."""
    store, model, images = work
    shifted = [replace_bias(model, by) for by in (3e-4, -3e-4)]
    bare = replace(store, attributes={**store.attributes, "model_fingerprint": ""})
    for other in shifted:
        found = verify(bare, other, Prepared(images), n=None, tolerance=1e-2)
        assert "counts" not in kinds(found), found.mismatches
    turned = replace(
        store["conv1"], nonzero=(store["conv1"].nonzero + 0.2).clip(max=1.0)
    )  # and this is no turn of a sign
    lie = replace(bare, layers={**bare.layers, "conv1": turned})
    assert "counts" in kinds(verify(lie, model, Prepared(images), n=None, tolerance=1e-2))


def replace_bias(model, by):
    other = Ties(quantised=False).eval()
    other.load_state_dict(model.state_dict())
    with torch.no_grad():
        other.conv1.bias += by
    return other


@pytest.mark.parametrize(
    "told",
    [
        json.dumps(json.loads(PREPARED.to_json()), sort_keys=True, indent=1),
        "resize to 17 x 14, in words",
    ],
)
def test_preprocessing_in_other_words(work, tmp_path, told):
    _, model, images = work
    source = Source(transform=told)
    store = mine(model, Prepared(images), tmp_path / "a.h5", LAYERS, 3, 4, source=source)
    made = embed(store, model, Prepared(images), preprocessing=PREPARED)
    found = verify(made, model, Prepared(images), n=50)
    assert found.passed, found.mismatches
    assert (found.pictures > 0) == told.startswith("{")
    assert len(found.unchecked) == (0 if told.startswith("{") else 2)


def test_a_store_with_pictures_that_tells_no_batch_shape(work, tmp_path):
    store, model, images = work
    attributes = {name: value for name, value in store.attributes.items() if name != "batch_shape"}
    attributes["transform"] = PREPARED.to_json()
    path = tmp_path / "a.h5"
    bare = write_store(path, attributes=attributes, layers=store.layers, images=store.images)
    embed(bare, model, Prepared(images), preprocessing=PREPARED, rectifiers=["guided"])
    found = verify(open_store(path), model, Prepared(images), n=50)
    assert found.passed, found.mismatches
    assert found.pictures > 0


def test_a_fingerprint_of_before(work):
    """It said nothing of strides and slopes."""
    store, model, images = work
    old = replace(store, attributes={**store.attributes, "model_fingerprint": "0" * 64})
    found = verify(old, model, Prepared(images))
    assert found.passed
    assert found.unchecked == ("the fingerprint of the model: an earlier deconvnet made it",)


def test_nothing_but_nan(tmp_path):
    model, data = Ties(quantised=False).eval(), Pictures(torch.full((5, 3, *SIZE), torch.nan))
    store = mine(model, data, tmp_path / "a.h5", ["conv1"], 3, 4)
    found = verify(store, model, data, n=None)
    assert found.passed
    assert "entries: there are none" in found.unchecked


class Remembering(nn.Module):
    """Every forward leaves something behind, which no value depends on."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("step", torch.zeros((), dtype=torch.int64), persistent=False)
        self.register_buffer("last", torch.zeros(4), persistent=False)

    def forward(self, x):
        y = self.conv(x).relu()
        self.step += 1
        self.last.copy_(y.mean((0, 2, 3)))
        return y


def test_a_model_that_remembers_its_last_images(tmp_path):
    torch.manual_seed(0)
    model, data = Remembering().eval(), Pictures(torch.randn(9, 3, *SIZE))
    store = mine(model, data, tmp_path / "a.h5", k=3, batch_size=4)
    model(torch.randn(2, 3, *SIZE))
    assert verify(store, model, data).passed
    told = []
    mine(model, data, tmp_path / "a.h5", k=3, batch_size=4, resume=True, tell=told.append)
    assert "is finished already" in told[0]
    embed(store, model, data, preprocessing=PREPARED)


def test_a_data_set_that_has_moved(work, tmp_path):
    store, model, images = work

    moved = Prepared(images)
    moved.path = lambda index: f"elsewhere/{index}.jpg"
    made = embed(store, model, moved, preprocessing=PREPARED, path=tmp_path / "a.h5")
    assert made.pictures
    assert kinds(verify(made, model, moved)) == {"path"}


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_pictures_in_other_precisions(tmp_path, dtype):
    model, data = Ties(quantised=False).eval().to(dtype), pictures(20, nan=False).to(dtype)
    store = mine(model, Prepared(data), tmp_path / "a.h5", ["relu1"], 3, 4)
    made = embed(store, model, Prepared(data), preprocessing=PREPARED, rectifiers=["guided"])
    assert verify(made, model, Prepared(data)).passed


def test_units_that_see_padding_alone(tmp_path):
    """They may be positive, by a bias, and have no picture."""
    model = nn.Sequential(nn.Conv2d(3, 2, 1, padding=2), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].weight.fill_(-1.0)
        model[0].bias.fill_(1.0)
    data = Prepared(torch.rand(6, 3, *SIZE) + 1)
    store = mine(model, data, tmp_path / "a.h5", ["1"], 3, 4)
    assert (store["1"].activation > 0).all()
    made = embed(store, model, data, preprocessing=PREPARED, rectifiers=["guided"])
    assert not made["1"].has_picture.any()
    assert stored_exemplars(made, "1", [0], rectifier="guided") == {0: []}
    assert verify(made, model, data, n=None).passed
