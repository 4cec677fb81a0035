"""Verification of stores with pictures: each is that of its entry."""

import re
from dataclasses import replace

import h5py
import numpy as np
import pytest
import torch

from deconvnet import open_store
from deconvnet.mining.embed import embed
from deconvnet.mining.mine import Source, mine
from deconvnet.mining.verify.verify import verify
from tests.support.mined import PREPARED, SIZE, Pictures, Ties

ALL = 10_000  # more than there are entries


@pytest.fixture(scope="module")
def illustrated(tmp_path_factory):
    model, images = Ties(quantised=False).eval(), torch.rand(30, 3, *SIZE) * 2 - 1
    images = torch.nn.functional.avg_pool2d(images, 5, 1, 2)  # soft, as a JPEG wants it
    data, path = Pictures(images), tmp_path_factory.mktemp("pictures") / "top.h5"
    source = Source(transform=PREPARED.to_json())
    store = mine(model, data, path, ["relu1", "relu3", "fc2"], 3, 4, source=source)
    policies = ["deconvnet", "gradient"]
    return embed(store, model, data, preprocessing=PREPARED, rectifiers=policies), model, data


def test_pictures_pass_too(illustrated):
    store, model, data = illustrated
    found = verify(store, model, data, n=ALL)
    assert found.mismatches == ()
    lit = sum(int((p.patches.offset >= 0).sum()) for p in store.pictures.values())
    assert found.pictures == 3 * lit > 60
    bare = replace(store, attributes={**store.attributes, "transform": ""})
    assert verify(bare, model, data).pictures == 0


def swapped(name):
    """The pictures of two lit entries of a layer, whose boxes are alike, change places."""

    def edit(file):
        part, box = file[f"layers/relu3/{name}"], file["layers/relu3/box"][()]
        columns = ("offset", "length") if name == "patch" else ("offset", "scale")
        one, *others = map(tuple, np.argwhere(part["offset"][()] >= 0))
        sides = box[..., 2:] - box[..., :2]
        two = next(other for other in others if (sides[other] == sides[one]).all())
        for column in columns:
            part[column][one], part[column][two] = part[column][two], part[column][one]

    return edit


def doubled(file):
    file["layers/relu3/projection/gradient/scale"][:] *= 2


def spoiled(file):
    file["layers/relu3/patch/bytes"][:400] = 0


def shifted(file):
    overhang = file["layers/relu3/overhang"]
    overhang[...] = np.where(overhang[()] >= 0, overhang[()] + 1, -1)


PICTURES = {
    "patches of others": (swapped("patch"), "the patch of relu3:|damaged"),
    "projections of others": (swapped("projection/gradient"), "the projection of relu3:.*gradient"),
    "twice as strong": (doubled, "by gradient is another"),
    "shifted": (shifted, "the overhang of relu3:.* the store says"),
    "damaged": (spoiled, "damaged pictures: 'relu3'"),
}


def verified(illustrated, tmp_path, edit):
    """What is found of a copy of the store, once it is edited."""
    store, model, data = illustrated
    path = tmp_path / "a.h5"
    path.write_bytes(store.path.read_bytes())
    with h5py.File(path, "r+") as file:
        edit(file)
    return verify(open_store(path), model, data, n=ALL)


@pytest.mark.parametrize(("edit", "message"), PICTURES.values(), ids=PICTURES)
def test_pictures_that_are_not_the_entries(illustrated, tmp_path, edit, message):
    found = verified(illustrated, tmp_path, edit)
    assert {m.kind for m in found.mismatches} == {"picture"}
    assert any(re.search(message, mismatch.what) for mismatch in found.mismatches)


@pytest.mark.parametrize(
    "edit",
    [
        lambda file: file.move("layers/relu3/projection/gradient", "layers/relu3/projection/mine"),
        lambda file: file["layers/relu3/projection/gradient"].attrs.modify("elsewhere", "bogus"),
    ],
)
def test_policies_that_only_their_author_has_are_told(illustrated, tmp_path, edit):
    found = verified(illustrated, tmp_path, edit)
    assert found.passed
    assert "there is no such policy here" in found.unchecked[-1]
