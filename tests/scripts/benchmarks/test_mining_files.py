"""The benchmark of mining from JPEG files: all sides, and only while they do the same work."""

import pytest
from PIL import Image

import deconvnet
from deconvnet import Preprocessing
from deconvnet.data import ImageFolder
from scripts.benchmarks import mining_files
from scripts.benchmarks.timing import Setup

ROW = mining_files.Reading("tiny", batches=3, batch=5)
SMALL = Preprocessing((20, 20), 20)
pytestmark = [
    pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:This DataLoader will create:UserWarning"),
]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "files").mkdir()
    mining_files.write(tmp_path / "files", 15)
    return tmp_path / "files"


def test_files_are_photographs_of_one_size_and_none_is_another(folder):
    files = sorted(folder.iterdir())
    assert len(files) == len({file.read_bytes() for file in files}) == 15
    with Image.open(files[7]) as image:
        assert (image.format, image.size, image.mode) == ("JPEG", (500, 375), "RGB")


def test_all_sides_are_timed(tiny, folder):
    found = mining_files.timed(tiny, folder, ROW, Setup(rounds=2), SMALL)
    sides = {
        mining_files.FORWARD,
        *(side for n in mining_files.READERS for side in mining_files._sides(n)),
    }
    assert set(found["seconds"]) == sides
    assert all(len(told) == 2 and min(told) > 0 for told in found["seconds"].values())
    assert set(found["once"]) == {mining_files._sides(n)[0] for n in mining_files.READERS}
    shown = [
        cell({**found, "batches": 3, "batch": 5, "network": "t"}) for cell in ROW.columns.values()
    ]
    assert shown[:2] == ["t", "3 × 5"]
    assert len(shown) == 3 + 3 * len(mining_files.READERS) + 2
    assert (ROW.key, ROW.quick().batches) == ("tiny,mining,reading", 3)


def test_a_ratio_is_of_the_same_number_of_readers():
    seconds = {"ours, 1": [2.0, 4.0], "loader, 1": [4.0, 4.0], "loader, 0": [1.0, 1.0]}
    cell = ROW.columns["time / DataLoader's, 1"]
    assert cell({"seconds": seconds}) == "0.75 (0.50–1.00)"
    a_second = ROW.columns["deconvnet, 1 readers"]
    assert a_second({"seconds": seconds, "batches": 4, "batch": 5}) == "5.00"


def test_images_that_differ_are_not_timed(tiny, folder, monkeypatch):
    class Brighter(ImageFolder):
        def __getitem__(self, index):
            return super().__getitem__(index) + (index == 4)

    monkeypatch.setattr(mining_files, "ImageFolder", Brighter)
    with pytest.raises(ValueError, match="image 4 as we read it"):
        mining_files.timed(tiny, folder, ROW, Setup(rounds=1), SMALL)


def test_tables_that_differ_are_not_timed(tiny, folder, monkeypatch):
    mine = deconvnet.mine

    def others(model, data, *arguments, preprocessing, **options):
        other = Preprocessing((20, 20), 21)
        return mine(model, data, *arguments, preprocessing=other, **options)

    monkeypatch.setattr(mining_files.deconvnet, "mine", others, raising=False)
    with pytest.raises(ValueError, match="by a plain script differ"):
        mining_files.timed(tiny, folder, ROW, Setup(rounds=1), SMALL)
