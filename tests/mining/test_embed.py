"""Pictures in a store are those that model and data set give, and a figure needs nothing else."""

import os
import shutil

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, open_store
from deconvnet.layers import Policies, Rectifier, rectifier
from deconvnet.mining.embed import embed
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.mine import mine
from deconvnet.store.picture_reading import stored_exemplars
from tests.support.mined import PREPARED, SIZE, Pictures, Ties

LAYERS = ("conv1", "relu", "relu3", "fc2")
POLICIES = ("deconvnet", "rectgrad(90)")


class Branches(nn.Module):
    """A join whose channels see 2, or 10, pixels of the image along each axis."""

    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 2, stride=2)
        self.narrow, self.wide = nn.Conv2d(4, 3, 1), nn.Conv2d(4, 3, 5, padding=2)

    def forward(self, x):
        x = self.stem(x)
        return torch.cat([self.narrow(x), self.wide(x)], 1)


def smooth(count):
    """Images that a JPEG keeps: a few soft spots."""
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand((count, 3, 4, 4), generator=generator) * 2 - 1
    return nn.functional.interpolate(coarse, SIZE, mode="bicubic").clamp(-1, 1)


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A store without pictures, one with, the model and its images."""
    model, images = Ties(quantised=False).eval(), smooth(11)
    folder = tmp_path_factory.mktemp("embed")
    store = mine(model, Pictures(images), folder / "top.h5", LAYERS, 4, 4)
    made = embedded(store, model, images, rectifiers=POLICIES, path=folder / "new" / "all.h5")
    return store, made, model, images


def embedded(store, model, images, **options):
    return embed(store, model, Pictures(images), preprocessing=PREPARED, **options)


def recomputed(work, layer, policy):
    store, _, model, images = work
    net = DeconvNet(model, policy)
    channels = range(store[layer].channels)
    data = Pictures(images)
    return project_exemplars(store, layer, channels, net=net, dataset=data, preprocessing=PREPARED)


def compare(found, expected):
    """What figures are made of, to the last bit but for what the coding rounds."""
    assert list(found) == list(expected)
    count = 0
    for channel, those in expected.items():
        for mine_, theirs in zip(found[channel], those, strict=True):
            for name in ("unit", "activation", "box", "overhang"):
                assert getattr(mine_, name) == getattr(theirs, name), name
            assert mine_.patch.dtype == theirs.patch.dtype
            assert np.abs(mine_.patch - theirs.patch).mean() < 0.02
            height = np.abs(theirs.projection).max()
            assert mine_.projection.shape == theirs.projection.shape
            assert np.abs(mine_.projection - theirs.projection).max() <= 1e-3 * height
            count += bool(height)
    assert count > 3, "projections of zeros prove nothing"


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("layer", LAYERS)
def test_stored_pictures_are_those_recomputed(work, layer, policy):
    made = open_store(work[1].path)
    channels = range(made[layer].channels)
    found = stored_exemplars(made, layer, channels, rectifier=policy)
    expected = recomputed(work, layer, policy)
    compare(found, expected)
    if layer == "conv1":  # no rectifier is below it, so that all policies agree
        assert found[0] == [], "a dead channel has no pictures"
        return
    other = recomputed(work, layer, "gradient" if policy == "deconvnet" else "deconvnet")
    with pytest.raises(AssertionError):
        compare(found, other)


def test_the_tables_are_untouched_and_old_readers_pass_over_pictures(work):
    store, made, *_ = work
    assert {n: v for n, v in made.attributes.items()} == store.attributes
    assert (made.images, made.failed, list(made)) == (store.images, store.failed, list(store))
    for name, table in store.items():
        for column, array in vars(table).items():
            np.testing.assert_array_equal(getattr(made[name], column), array)
    assert store.pictures == {}


def test_the_same_bytes_whatever_is_in_memory(work, tmp_path, monkeypatch):
    store, made, model, images = work
    monkeypatch.setattr("deconvnet.mining.embed.AT_ONCE", 1)  # one channel at a time
    embedded(store, model, images, rectifiers=POLICIES, path=tmp_path / "a.h5")
    assert (tmp_path / "a.h5").read_bytes() == made.path.read_bytes()


def test_entries_that_see_the_same_share_a_patch(work):
    _, made, *_ = work
    patches, table = made.pictures["fc2"].patches, made["fc2"]
    lit = patches.offset >= 0
    assert len(np.unique(patches.offset[lit])) == len(np.unique(table.image[lit]))
    assert (lit == (table.activation > 0)).all()


def test_branches_stand_in_the_field_of_their_join(tmp_path):
    torch.manual_seed(0)
    model, images = Branches().eval(), torch.rand(5, 3, 20, 24)
    data, prepared = Pictures(images), Preprocessing((20, 24), None, (0, 0, 0), (1, 1, 1))
    store = mine(model, data, tmp_path / "a.h5", ["cat"], 5)
    made = embed(store, model, data, preprocessing=prepared, rectifiers=["gradient"])
    assert made.path == store.path, "by default it takes the old one's place"
    net = DeconvNet(model, "gradient")
    expected = project_exemplars(
        store, "cat", range(6), net=net, dataset=data, preprocessing=prepared
    )
    found = stored_exemplars(made, "cat", range(6), rectifier="gradient")
    for channel, those in expected.items():
        assert [e.overhang for e in found[channel]] == [e.overhang for e in those]
    assert {e.overhang for e in found[0]} == {(4, 4)}


def test_projections_are_added_kept_and_replaced(work, tmp_path):
    store, made, model, images = work
    path = tmp_path / "a.h5"
    bare = embedded(store, model, images, path=path)
    assert all(not each.projections for each in bare.pictures.values())
    with pytest.raises(KeyError, match="holds no projections of 'relu' under 'deconvnet'; store"):
        stored_exemplars(bare, "relu", [1], rectifier="deconvnet")
    one = embedded(bare, model, images, rectifiers=["deconvnet"])
    two = embedded(one, model, images, rectifiers=["rectgrad(90)"])
    assert path.read_bytes() == made.path.read_bytes()
    assert set(two.pictures["relu"].projections) == set(POLICIES)
    again = embedded(two, model, images, rectifiers=["deconvnet"])
    assert set(again.pictures["relu"].projections) == set(POLICIES)


def test_progress_and_channels_that_do_not_exist(work, tmp_path):
    store, made, model, images = work
    told = []
    options = {"rectifiers": POLICIES, "path": tmp_path / "a.h5"}
    embedded(store, model, images, **options, report=lambda *done: told.append(done))
    lit = sum(int((table.activation > 0).sum()) for table in store.values())
    total = lit * (1 + len(POLICIES))
    assert [done for done, _ in told] == sorted({done for done, _ in told})
    assert {of for _, of in told} == {total}
    assert told[-1] == (total, total)
    assert len(told) > 2 * len(store), "a layer may take minutes"
    with pytest.raises(IndexError, match="relu has no channel 5; its channels are 0 to 4"):
        stored_exemplars(made, "relu", [5], rectifier="deconvnet")
    with pytest.raises(KeyError, match="there is no layer 'relu2'"):
        stored_exemplars(made, "relu2", [0], rectifier="deconvnet")


def test_what_is_not_what_was_mined_is_refused_and_nothing_written(work, tmp_path):
    store, _, model, images = work
    path = tmp_path / "a.h5"
    shutil.copy(store.path, path)
    own = open_store(path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="mined from another model: its fingerprint is"):
        embedded(own, Ties(seed=1).eval(), images)
    with pytest.raises(ValueError, match="mined from another dataset"):
        embedded(own, model, images.flip(0))
    with pytest.raises(ValueError, match=r"images of \(3, 17, 13\); of"):
        embedded(own, model, images[..., :-1])
    blank = Pictures(images, broken=[int(own["relu"].image[1, 0])])
    blank.fingerprint = lambda: str(own.attributes["dataset_fingerprint"])
    with pytest.raises(ValueError, match="not those that were mined: .* cannot be read"):
        embed(own, model, blank, preprocessing=PREPARED)
    with pytest.raises(ValueError, match="no rectifier is called 'relu'"):
        embedded(own, model, images, rectifiers=["relu"])
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["a.h5"]


@pytest.mark.parametrize("policies", [[], ["guided"]])
def test_other_images_of_the_same_fingerprint(work, tmp_path, policies):
    """Files keep their size: patches of other images must not stand beside these tables."""
    _, made, model, images = work
    path = tmp_path / "a.h5"
    shutil.copy(made.path, path)
    others = Pictures(images.flip(0))
    others.fingerprint = lambda: str(made.attributes["dataset_fingerprint"])
    with pytest.raises(
        ValueError, match="not those that were mined|has changed since it was mined"
    ):
        embed(open_store(path), model, others, preprocessing=PREPARED, rectifiers=policies)
    assert path.read_bytes() == made.path.read_bytes()


def test_no_other_file_is_written_over(work, tmp_path):
    store, _, model, images = work
    path = tmp_path / "photo.jpg"
    path.write_bytes(b"a photograph")
    with pytest.raises(FileExistsError, match="is there already"):
        embedded(store, model, images, path=path)
    assert path.read_bytes() == b"a photograph"


def test_a_layer_that_is_dead_from_end_to_end(tmp_path):
    """Its entries are all of 0, and have no pictures."""
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3), nn.ReLU()).eval()
    with torch.no_grad():
        model[0].bias.fill_(-100.0)
        model[2].bias.fill_(1.0)
    images = smooth(5)
    store = mine(model, Pictures(images), tmp_path / "a.h5", ["1", "3"], 2, 4)
    made = embedded(store, model, images, rectifiers=["guided"])
    assert (made.pictures["1"].patches.offset == -1).all()
    assert stored_exemplars(made, "1", [0], rectifier="guided") == {0: []}
    assert len(stored_exemplars(made, "3", [0], rectifier="guided")[0]) == 2


def test_a_file_that_has_changed_since(work, tmp_path):
    store, made, model, images = work
    path = tmp_path / "a.h5"
    shutil.copy(made.path, path)
    mine_ = open_store(path)
    path.unlink()
    embedded(store, model, images, path=path)
    with pytest.raises(ValueError, match="has changed since it was opened; open it again"):
        stored_exemplars(mine_, "relu", [1], rectifier="deconvnet")
    path.unlink()
    with pytest.raises(FileNotFoundError):
        stored_exemplars(mine_, "relu", [1], rectifier="deconvnet")


class Halved(Rectifier):
    """A user's rule, whose text does not say all of it."""

    name = "halved"

    def __init__(self, share):
        self._share = share

    def remember(self, z, a, activation):
        return z > 0

    def signal(self, R, kept):
        return self._share * R * kept


@pytest.mark.parametrize(
    "rules",
    [
        [Halved(0.5), Halved(0.25)],
        [Policies(rectifier("guided")), Policies(rectifier("guided"), "derivative")],
    ],
)
def test_two_projections_of_one_name(work, rules, tmp_path):
    store, _, model, images = work
    with pytest.raises(ValueError, match=f"both called '{rules[0]}', .* texts"):
        embedded(store, model, images, rectifiers=rules, path=tmp_path / "a.h5")
    assert not os.listdir(tmp_path)


def test_one_projection_given_twice(work, tmp_path):
    store, _, model, images = work
    half = Halved(0.5)
    rules = ["guided", rectifier("guided"), half, half]
    made = embedded(store, model, images, rectifiers=rules, path=tmp_path / "a.h5")
    assert set(made.pictures["conv1"].projections) == {"guided", str(half)}
