"""Microbatches: always of one shape, the same whoever reads them, and what if readers die."""

import multiprocessing
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import Preprocessing
from deconvnet.data import ImageFolder
from deconvnet.mining.run.microbatches import CHANNELS_LAST, by_row, groups_of, microbatches
from deconvnet.mining.run.readers import outlive_signals, readers_die

ROOT = Path(__file__).parents[3]
PREPARE = Preprocessing((8, 8), 8)


@pytest.fixture
def folder(tmp_path):
    for number in range(11):
        pixels = np.random.default_rng(number).integers(0, 256, (9, 11, 3), dtype=np.uint8)
        path = tmp_path / "data" / f"{number:02}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(path)
    (tmp_path / "data" / "05.png").write_bytes(b"")
    return tmp_path / "data"


def read(data, batch_size=4, **options):
    fixed = {"size": (3, 8, 8), "dtype": torch.float32, **options}
    return list(microbatches(data, batch_size, **fixed))


def same(one, two):
    return (
        one.number == two.number
        and torch.equal(one.images, two.images)
        and torch.equal(one.rows, two.rows)
        and torch.equal(one.indices, two.indices)
        and one.failed == two.failed
    )


# --- the shape -----------------------------------------------------------------------------------


def test_all_of_one_shape_and_bad_images_are_zero(folder):
    data = ImageFolder(folder, PREPARE)
    first, second, third = read(data)
    assert {batch.images.shape for batch in (first, second, third)} == {(4, 3, 8, 8)}
    assert [batch.number for batch in (first, second, third)] == [0, 1, 2]
    assert second.rows.tolist() == [0, 2, 3]
    assert second.indices.tolist() == [4, 6, 7]
    assert list(second.failed) == [5]
    assert (second.images[1] == 0).all()
    assert third.indices.tolist() == [8, 9, 10]
    assert (third.images[3] == 0).all()
    assert all(torch.equal(third.images[row], data[8 + row]) for row in range(3))


def test_some_microbatches_are_those_of_the_whole(folder):
    data = ImageFolder(folder, PREPARE)
    every, some = read(data), read(data, groups=groups_of([2, 0], 4, 11))
    assert [batch.number for batch in some] == [2, 0]
    assert same(some[0], every[2])
    assert same(some[1], every[0])
    assert not same(some[0], every[1])  # what it must catch
    assert read(data, groups=[]) == []


@pytest.mark.parametrize("seed", range(5))
def test_any_images_stand_in_the_row_that_their_number_gives_them(seed):
    data = [torch.full((1, 2, 2), float(i + 1)) for i in range(50)]
    generator = torch.Generator().manual_seed(seed)
    images = torch.randperm(50, generator=generator)[: 3 + 7 * seed].tolist()
    groups = by_row(images, 6)
    assert sorted(i for group in groups for i in group) == sorted(images)
    assert len(groups) == max(Counter(i % 6 for i in images).values())
    for batch in read(data, 6, groups=groups, size=(1, 2, 2)):
        assert batch.rows.tolist() == (batch.indices % 6).tolist()
        assert torch.equal(batch.images[batch.rows, 0, 0, 0], batch.indices + 1.0)
        assert (batch.images != 0).sum() == 4 * len(batch.rows)
        assert torch.equal(batch.of_images(batch.images)[:, 0, 0, 0], batch.indices + 1.0)


def test_the_precision_is_the_models(folder):
    data = ImageFolder(folder, PREPARE)
    (batch,) = read(data, dtype=torch.float64, groups=[range(4)])
    assert batch.images.dtype == torch.float64
    assert torch.equal(batch.images[0], data[0].double())


def test_the_layout_changes_no_value(folder):
    """Rows without an image are zero in memory that was not (PyTorch fills it with NaN here)."""
    data = ImageFolder(folder, PREPARE)
    torch.use_deterministic_algorithms(True)
    try:
        plain, last = read(data), read(data, layout=CHANNELS_LAST)
    finally:
        torch.use_deterministic_algorithms(False)
    assert all(map(same, plain, last))
    assert all(batch.images.is_contiguous() for batch in plain)
    assert all(batch.images.is_contiguous(memory_format=torch.channels_last) for batch in last)


# --- who reads -----------------------------------------------------------------------------------


@pytest.mark.parametrize("workers", [1, 2])
def test_whoever_reads_the_microbatches_are_the_same(folder, workers):
    data = ImageFolder(folder, PREPARE)
    assert all(map(same, read(data), read(data, workers=workers)))


def test_the_number_of_threads_is_set_once_a_microbatch(folder, monkeypatch):
    """Each time PyTorch ends threads and starts others, which takes as long as reading an image."""
    settings, images, number = [], ImageFolder(folder, PREPARE), torch.set_num_threads
    monkeypatch.setattr(torch, "set_num_threads", lambda n: (settings.append(n), number(n)))
    number(2)
    try:
        read(images)
    finally:
        number(1)
    assert settings == 3 * [1, 2]


def test_whoever_reads_the_store_has_the_same_bytes(folder, tmp_path):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
    data, found = ImageFolder(folder, PREPARE), []
    for workers in (0, 1, 2):
        path = tmp_path / f"{workers}.h5"
        deconvnet.mine(model, data, path, k=3, batch_size=4, workers=workers)
        found.append(path.read_bytes())
    assert found[0] == found[1] == found[2]
    deconvnet.mine(model, data, path, k=2, batch_size=4)
    assert path.read_bytes() != found[0]


def test_the_users_random_numbers_are_left_alone(folder):
    data = ImageFolder(folder, PREPARE)
    for workers in (0, 1):
        torch.manual_seed(3)
        read(data, workers=workers)
        after = torch.rand(3)
        torch.manual_seed(3)
        assert torch.equal(torch.rand(3), after)


@pytest.mark.parametrize("workers", [0, 1])
def test_a_wrong_item_is_named_without_a_traceback(workers):
    data = [torch.zeros(3, 8, 8)] * 5 + [torch.zeros(3, 8, 9)]
    with pytest.raises(ValueError, match=r"^item 5 of the data set has shape \(3, 8, 9\), the"):
        read(data, workers=workers)


def test_many_images_of_many_readers_do_not_use_up_the_open_files():
    """Sent one by one, 2 times 2 microbatches of 64 images would be 256 open files."""
    program = """
import resource, torch
from deconvnet.mining.run.microbatches import microbatches
resource.setrlimit(resource.RLIMIT_NOFILE, (100, 100))
data = [torch.full((1, 2, 2), float(i)) for i in range(640)]
fixed = {"size": (1, 2, 2), "dtype": torch.float32, "workers": 2}
print(len([batch.indices for batch in microbatches(data, 64, **fixed)]))
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert done.stdout.strip() == "10", done.stderr


# --- readers that die ----------------------------------------------------------------------------


class Deadly:
    """An image at which the process that reads it is sent a signal."""

    def __init__(self, number):
        self.number = number

    def __len__(self):
        return 12

    def __getitem__(self, index):
        if index == 6 and multiprocessing.parent_process() is not None:
            os.kill(os.getpid(), self.number)
        return torch.full((3, 8, 8), float(index))


def test_a_reader_that_is_killed_is_an_error_that_says_so():
    def work():
        data = Deadly(signal.SIGKILL)
        with readers_die():
            for _ in microbatches(data, 2, size=(3, 8, 8), dtype=torch.float32, workers=1):
                time.sleep(0.1)  # the news may come at any line

    with pytest.raises(RuntimeError, match=r"^a process .* has died \(.* fewer workers") as caught:
        work()
    assert str(caught.value).count("has died") == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGUSR1])
def test_a_signal_to_the_whole_job_is_the_parents_to_answer(number):
    batches = read(Deadly(number), 2, workers=1, signals=outlive_signals)
    assert [batch.indices.tolist() for batch in batches] == [[i, i + 1] for i in range(0, 12, 2)]


def test_a_data_set_that_cannot_be_sent_is_an_error_that_says_so():
    program = """
import torch
from deconvnet.mining.run.microbatches import microbatches
if __name__ == "__main__":
    torch.multiprocessing.set_start_method("spawn")
    data = torch.utils.data.TensorDataset(torch.zeros(3, 1, 2, 2))
    data.function = lambda: 0
    try:
        list(microbatches(data, 2, size=(1, 2, 2), dtype=torch.float32, workers=1))
    except RuntimeError as error:
        print(error)
"""
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=600
    )
    assert "the data set cannot be handed to other processes" in done.stdout, done.stderr
    assert "or use workers=0" in done.stdout


def test_other_errors_pass():
    for error in (RuntimeError("out of memory"), TypeError("no"), AttributeError("x")):
        with pytest.raises(type(error)) as caught, readers_die():
            raise error
        assert caught.value is error
