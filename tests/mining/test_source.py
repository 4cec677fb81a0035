"""What a store says of where it came from is checked before the run."""

from pathlib import Path

import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import Preprocessing, mine, open_store
from deconvnet.mining.mine import Source
from deconvnet.mining.source import source_of

PREPARE = Preprocessing((8, 8), 8)


class Unread:
    """A data set of which no image may be read."""

    def __len__(self):
        return 3

    def __getitem__(self, index):
        raise AssertionError("an image was read")


class Images(list):
    def __init__(self, fingerprint):
        super().__init__(torch.zeros(3, 3, 8, 8))
        self.fingerprint = fingerprint


def model():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()


@pytest.mark.parametrize("resume", [None, True])
def test_paths_and_preprocessing_become_text(tmp_path, resume):
    source = Source(Path("nets.py:vgg"), Path("w.pth"), Path("photos"), PREPARE)
    assert source == Source("nets.py:vgg", "w.pth", "photos", PREPARE.to_json())
    data = list(torch.zeros(3, 3, 8, 8))
    mine(model(), data, tmp_path / "a.h5", source=source, resume=resume)
    found = open_store(tmp_path / "a.h5").attributes
    assert [found[n] for n in ("model", "weights", "dataset", "transform")] == [
        "nets.py:vgg", "w.pth", "photos", PREPARE.to_json(),
    ]  # fmt: skip


@pytest.mark.parametrize("field", ["model", "weights", "dataset", "transform"])
@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [(7, TypeError, "=7. was given, expected text or a path"),
     (None, TypeError, "=None. was given, expected text or a path"),
     (["photos"], TypeError, "was given, expected text or a path"),
     ("x" * 60_001, ValueError, "a text of 60001 bytes, expected at most 60000"),
     ("é" * 30_001, ValueError, "a text of 60002 bytes"), ("a\0b", ValueError, "and no NUL")],
)  # fmt: skip
def test_what_no_store_can_hold(tmp_path, field, given, kind, message):
    def call():
        mine(model(), Unread(), tmp_path / "a.h5", source=Source(**{field: given}))

    with pytest.raises(kind, match=message):
        call()


def test_what_the_data_set_says_of_itself(tmp_path):
    reports = []
    with pytest.raises(ValueError, match="attribute 'dataset_fingerprint' is a text of 70000 by"):
        mine(model(), Images(lambda: "x" * 70_000), tmp_path / "a.h5",
             report=lambda *numbers: reports.append(numbers))  # fmt: skip
    assert reports == []


def test_the_data_set_of_a_store_is_read_as_it_was_mined(tmp_path):
    """Whatever preprocessing the net states: it mined other sizes since."""
    (tmp_path / "photos").mkdir()
    for number in range(3):
        Image.new("RGB", (9, 8), (80 * number, 0, 0)).save(tmp_path / "photos" / f"{number}.png")
    net = model()
    net.preprocessing = Preprocessing((6, 6), 6)
    mine(
        net, str(tmp_path / "photos"), tmp_path / "a.h5", preprocessing=PREPARE, k=2,
        progress=False,
    )  # fmt: skip
    store = open_store(tmp_path / "a.h5")
    _, data = source_of(store, net, None)
    assert data[0].shape == (3, 8, 8)
    _, data = source_of(store, net, None, preprocessing=Preprocessing((6, 6), 6))
    assert data[0].shape == (3, 6, 6)
