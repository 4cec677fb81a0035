"""Work on another model, data set or choice is refused, both sides shown."""

import os

import pytest
import torch
from torch import nn

from deconvnet.mining.mine import Source, Unfinished, mine
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.request import MADE, MEANT, Request, differences
from deconvnet.store.store import open_store
from tests.support.mined import Ties, pictures
from tests.support.mining_runs import Dawdling, mined

pytestmark = pytest.mark.filterwarnings("ignore:.*activations were NaN:UserWarning")


class Other(Dawdling):
    def fingerprint(self):
        return "another fingerprint"


def changed_model():
    model = Ties(quantised=False, seed=3)
    with torch.no_grad():
        model.fc2.bias[1] += 1e-3
    return model


# what is asked for, and what the message says of it
OTHERS = {
    "model": (
        lambda: {"model": changed_model()},
        r"another model: model_fingerprint is 2:[0-9a-f]{64} there and 2:[0-9a-f]{64} here",
    ),
    "data set": (
        lambda: {"data": Other(pictures(90, seed=5), broken=(17,))},
        "another data set: dataset_fingerprint is a fingerprint that costs no time there and "
        "another fingerprint here",
    ),
    "size of the data set": (
        lambda: {"data": Dawdling(pictures(91, seed=5), broken=(17,))},
        "another number of images: images is 90 there and 91 here",
    ),
    "preprocessing": (
        lambda: {"source": Source(transform='{"mean": 1}')},
        'another preprocessing: transform is unknown there and {"mean": 1} here',
    ),
    "k": (lambda: {"k": 3}, "another k: k is 4 there and 3 here"),
    "layers": (
        lambda: {"layers": ["conv1", "pool"]},
        r"another choice of layers: layers is \['relu1', .*'fc2'\] there and \['pool'\] here",
    ),
    "batch shape": (
        lambda: {"batch_size": 5},
        r"another batch shape: batch_shape is \[4, 3, 17, 14\] there and \[5, 3, 17, 14\] here",
    ),
    "NaN": (
        lambda: {"nan": "error"},
        "another treatment of NaN: nan_policy is skip there and error here",
    ),
}


@pytest.mark.parametrize(("asked", "message"), OTHERS.values(), ids=OTHERS)
def test_unfinished_work_on_another_is_refused(tmp_path, asked, message):
    path = tmp_path / "top.h5"
    with pytest.raises(Unfinished):
        mined(path, stop=iter([False, False, True]).__next__)
    before = [part.read_bytes() for part in PartFolder.beside(path).names()]
    with pytest.raises(ValueError, match=rf"holds unfinished work on {message}; write to another"):
        mined(path, **asked())
    assert [part.read_bytes() for part in PartFolder.beside(path).names()] == before
    assert not path.exists()


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    path = tmp_path_factory.mktemp("finished") / "top.h5"
    mined(path)
    return path


@pytest.mark.parametrize(("asked", "message"), OTHERS.values(), ids=OTHERS)
def test_a_finished_store_of_another_is_refused(finished, asked, message):
    before = finished.read_bytes()
    with pytest.raises(ValueError, match=rf"is there already and holds {message}; .*--restart"):
        mined(finished, **asked())
    assert finished.read_bytes() == before
    assert os.listdir(finished.parent) == ["top.h5"]


def test_precision_is_part_of_a_run(finished):
    with pytest.raises(ValueError, match="another model|another precision"):
        mined(finished, model=Ties(quantised=False, seed=3).double())
    store = open_store(finished)
    ours = {**store.attributes, "dtype": "float64"}
    (said,) = differences(ours, store.attributes, MEANT)
    assert said == "another precision: dtype is float32 there and float64 here"


@pytest.mark.parametrize("content", [b"", b"no store", b"\x89HDF\r\n\x1a\n and no more"])
def test_what_is_no_store_is_left_alone(tmp_path, content):
    path = tmp_path / "photo.jpg"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="is there already and holds something else"):
        mined(path)
    assert path.read_bytes() == content


def test_where_it_came_from_may_have_another_name(finished):
    """Folders move; fingerprints tell what matters."""
    told = []
    mined(finished, source=Source(model="net.py:ties", dataset="elsewhere"), tell=told.append)
    assert "is finished already" in told[-1]


def test_parts_must_be_made_alike():
    ours = {"device": "cuda", "threads": 2, "versions": '{"torch": "2.1", "python": "3.11"}'}
    assert list(differences(ours, ours, MADE)) == []
    other_python = {**ours, "versions": {"torch": "2.1", "python": "3.12"}}
    assert list(differences(ours, other_python, MADE)) == []
    for name, value in (("device", "cpu"), ("threads", 1), ("versions", {"torch": "2.2"})):
        (said,) = differences(ours, {**ours, name: value}, MADE)
        assert said.startswith(f"another {MADE[name]}: {name} is ")


def test_the_order_of_layers_counts():
    (said,) = differences({"layers": ["a", "b"]}, {"layers": ["b", "a"]}, MEANT)
    assert said == "another choice of layers: layers is ['b', 'a'] there and ['a', 'b'] here"


# --- threads ----------------------------------------------------------------------------------


def wide():
    """A fully connected layer that is cut up by threads."""
    torch.manual_seed(0)
    return nn.Sequential(nn.Flatten(), nn.Linear(3 * 24 * 24, 600), nn.ReLU()).eval()


def test_a_run_goes_on_with_the_threads_it_was_begun_with(tmp_path):
    """torchrun gives every process one thread, a shell all; fully connected layers show it."""
    images = torch.randn(40, 3, 24, 24, generator=torch.Generator().manual_seed(0))
    data, options = Dawdling(images), {"batch_size": 8, "resume": True}
    before = torch.get_num_threads()
    mine(wide(), data, tmp_path / "two.h5", threads=2, **options)
    with pytest.raises(Unfinished):
        mine(wide(), data, tmp_path / "a.h5", threads=2, stop=iter([0, 0, 1]).__next__, **options)
    with pytest.raises(ValueError, match="another number of threads: threads is 2 there and 1 he"):
        mine(wide(), data, tmp_path / "a.h5", threads=1, **options)
    store = mine(wide(), data, tmp_path / "a.h5", **options)
    assert store.attributes["threads"] == 2
    assert (tmp_path / "a.h5").read_bytes() == (tmp_path / "two.h5").read_bytes()
    assert torch.get_num_threads() == before
    with pytest.raises(ValueError, match="threads=0 was given"):
        mine(wide(), data, tmp_path / "b.h5", threads=0)


def test_a_process_begun_in_another_way_is_found_out_early(tmp_path):
    """Two machines with other numbers of processors start at once: neither sees the other yet."""
    path, seen = tmp_path / "top.h5", []

    def report(done, total):
        seen.append(done)
        if len(seen) == 1:
            with pytest.raises(Unfinished):
                mined(path, shard=(1, 2), threads=2, stop=iter([0, 1]).__next__)

    with pytest.raises(ValueError, match="another number of threads"):
        mined(path, shard=(0, 2), threads=1, save_every=0.0, report=report)
    assert len(seen) == 1


# --- what a part says of its run --------------------------------------------------------------


def test_a_request_as_text():
    asked = Request({"batch_shape": [4, 3, 5, 6], "k": 9, "x": "ä\udcff"}, 10, {"b": 2, "a": 3})
    found = Request.of_json(asked.to_json())
    assert (found, list(found.channels)) == (asked, ["b", "a"])
    assert (found.batch, found.total, found.k) == (4, 3, 9)


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "3", '{"attributes": {}}', "null",
        '{"attributes": {"batch_shape": [4], "k": 0}, "images": 1, "channels": {"a": 1}}',
        '{"attributes": {"batch_shape": [4], "k": 1}, "images": 1, "channels": {}}',
        '{"attributes": {"batch_shape": ["4"], "k": 1}, "images": 1, "channels": {"a": 1}}',
        '{"attributes": {"batch_shape": [4], "k": 1}, "images": 1.5, "channels": {"a": 1}}',
        '{"attributes": {"batch_shape": [4], "k": 1}, "images": 4294967296, "channels": {"a": 1}}',
    ],
)  # fmt: skip
def test_a_text_that_is_no_request(text):
    with pytest.raises(ValueError, match="does not say what was mined"):
        Request.of_json(text)
