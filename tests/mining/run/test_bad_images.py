"""Too many bad images: all are named, and how many may be is the user's choice."""

import json
import os
import re
import shutil

import pytest
import torch
from torch import nn

from deconvnet.mining.mine import TooManyBad, Unfinished, mine
from deconvnet.mining.run import bad_images
from deconvnet.mining.run.bad_images import Limit
from deconvnet.mining.run.merge import merge
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.store.table import Failed
from tests.support.commands import make_files, said
from tests.support.mined import Pictures

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")


def tiny():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 2, 3), nn.ReLU()).eval()


def data(count, broken):
    image = torch.rand(3, 5, 6, generator=torch.Generator().manual_seed(1))
    return Pictures(image.expand(count, -1, -1, -1), broken=broken)


def mined(tmp_path, count, broken, **options):
    return mine(tiny(), data(count, broken), tmp_path / "a.h5", k=2, batch_size=4, **options)


@pytest.mark.parametrize(
    ("most", "images", "expected"),
    [("1%", 1, 1), ("1%", 199, 1), ("1%", 200, 2), ("2.5 %", 200, 5), (".5%", 1000, 5),
     (0.05, 100, 5), (0.05, 10, 1), ("12", 5, 12), (3, 1000, 3), (0, 9, 0), ("0", 9, 0),
     ("0%", 9, 0), (0.0, 9, 0), (1, 1000, 1), (1.0, 1000, 1000), ("100%", 7, 7)],
)  # fmt: skip
def test_a_limit_is_a_share_or_a_number(most, images, expected):
    assert Limit(most).of(images) == expected
    assert Limit(most, strict=True).of(images) == 0


@pytest.mark.parametrize("most", ["", "x", "-1", -1, 1.5, "150%x", "1 in 100", None, True])
def test_what_is_no_limit_is_told_before_any_image_is_read(tmp_path, most):
    class Unread(Pictures):
        def __getitem__(self, index):
            raise AssertionError("an image was read")

    with pytest.raises(ValueError, match=re.escape(f"max_bad={most!r} was given, expected")):
        mine(tiny(), Unread(torch.zeros(3, 3, 5, 6)), tmp_path / "a.h5", max_bad=most)


@pytest.mark.parametrize("workers", [0, 2])
def test_every_bad_image_is_named_and_the_rest_is_not_run(tmp_path, workers):
    reports = []
    with pytest.raises(TooManyBad) as caught:
        mined(tmp_path, 40, [3, 6, 21, 39], workers=workers, report=lambda *n: reports.append(n))
    message = str(caught.value)
    assert message.startswith("4 of 40 images cannot be read, and at most 1 may be: image 3: '3.j")
    assert "image 39: '39.jpg' cannot be used: it is broken; repair or remove them" in message
    assert [each.index for each in caught.value.failed] == [3, 6, 21, 39]
    assert caught.value.failed[0] == Failed(3, "3.jpg", "'3.jpg' cannot be used: it is broken")
    assert reports == [(4, 40)], "the first microbatch had one, which may be; no other was run"
    assert os.listdir(tmp_path) == []


@pytest.mark.parametrize("most", ["10%", 4, 0.1, "4"])
def test_the_limit_is_the_users(tmp_path, most):
    broken = [3, 6, 21, 39]
    assert len(mined(tmp_path, 40, broken, max_bad=most).failed) == 4
    with pytest.raises(TooManyBad, match="5 of 40 images cannot be read, and at most 4 may be"):
        mined(tmp_path, 40, [*broken, 30], max_bad=most)


def test_of_many_twenty_are_named_and_all_are_there(tmp_path):
    with pytest.raises(TooManyBad, match="30 of 99 images") as caught:
        mined(tmp_path, 99, range(60, 90))
    assert len(caught.value.failed) == len(caught.value.details["failed"]) == 30
    assert str(caught.value).count("it is broken") == 20
    assert "; and 10 more (--json lists them all); repair" in str(caught.value)


def test_looking_for_more_ends(tmp_path, monkeypatch):
    monkeypatch.setattr(bad_images, "PATIENCE", 0.0)
    with pytest.raises(TooManyBad, match=r"2 of 40 images cannot be read so far \(not all were"):
        mined(tmp_path, 40, [3, 6, 21, 39])


def test_another_fault_on_the_way_hides_nothing(tmp_path):
    class Faulty(Pictures):
        def __getitem__(self, index):
            if index == 33:  # not one of those that are looked at first
                raise KeyError("label")
            return super().__getitem__(index)

    images = data(40, [3, 6, 21, 39])
    with pytest.raises(TooManyBad, match="3 of 40 images cannot be read so far"):
        mine(tiny(), Faulty(images.images, broken=images.broken), tmp_path / "a.h5", batch_size=4)


def test_a_run_goes_on_when_more_is_allowed(tmp_path):
    options = {"resume": True, "save_every": 0}
    with pytest.raises(TooManyBad):
        mined(tmp_path, 40, [3, 21], **options)
    told = []
    store = mined(tmp_path, 40, [3, 21], **options, max_bad=2, tell=told.append)
    assert told[-1:] == ["going on: 20 of 40 images are done already"]
    assert [each.index for each in store.failed] == [3, 21]


def test_merging_asks_too(tmp_path):
    """The limit is asked of all parts together, whatever each of them was mined with."""
    (tmp_path / "parts").mkdir()
    for index in (0, 1):
        path = tmp_path / str(index) / "a.h5"
        with pytest.raises(Unfinished):
            mined(path.parent, 40, [3, 21], resume=True, shard=(index, 2), max_bad=2)
        for part in PartFolder.beside(path).names():
            shutil.copy(part, tmp_path / "parts")
    with pytest.raises(TooManyBad, match=r"2 of 40 .*image 3: .*; image 21: '21.jpg' cannot"):
        merge(tmp_path / "parts", tmp_path / "a.h5", tiny())
    store = merge(tmp_path / "parts", tmp_path / "a.h5", tiny(), max_bad="5%")
    assert [each.index for each in store.failed] == [3, 21]


def test_the_command_lists_them(tmp_path, capfd):
    make_files(tmp_path)
    for number in (1, 3):
        (tmp_path / "photos" / f"cat{number}.png").write_bytes(b"")
    command = ["mine", "zoo:zfnet_mini", tmp_path / "photos", "-o", tmp_path / "a.h5"]
    command += ["--layers", "relu1", "--batch-size", 1]
    code, out, err = said(capfd, *command)
    assert (code, out) == (2, "")
    lines = err.splitlines()[-4:]  # after the bar
    assert lines[0] == ("deconvnet: error: 2 of 5 images cannot be read, and at most 1 may be:")
    assert [line[:10] for line in lines[1:3]] == ["  image 1:", "  image 3:"]
    code, out, err = said(capfd, *command, "--json")
    assert (code, [each["index"] for each in json.loads(out)["failed"]]) == (2, [1, 3])
    code, out, err = said(capfd, *command, "--max-bad", "40%")
    assert (code, "left out: 2 of 5 images" in out) == (0, True)
    code, out, err = said(capfd, *command, "--max-bad", "some")
    assert (code, "--max-bad: 'some' was given, expected 20 or 1%" in err) == (2, True)
