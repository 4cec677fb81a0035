"""The real launcher, real signals to a real command, and 20,000 images: minutes long."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from torch import nn

from deconvnet.mining.mine import mine
from tests.support.commands import make_files
from tests.support.mining_runs import ended, forked

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")]
ROOT = Path(__file__).parents[2]
MODEL = "zoo:zfnet_mini"
TORCHRUN = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node")


def command(photos, path, *options):
    return ["-m", "deconvnet", "mine", MODEL, str(photos), "-o", str(path), "--batch-size", "1",
            "--threads", "1", *options]  # fmt: skip


def ran(*words, environment=()):
    done = subprocess.run(
        [str(word) for word in words],
        cwd=ROOT,
        env=os.environ | dict(environment),
        capture_output=True,
        text=True,
        timeout=600,
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files")) / "photos"


@pytest.fixture(scope="module")
def whole(photos, tmp_path_factory):
    path = tmp_path_factory.mktemp("whole") / "top.h5"
    assert ran(sys.executable, *command(photos, path))[0] == 0
    return path


@pytest.mark.parametrize("count", [2, 3])
def test_torchrun(photos, tmp_path, whole, count):
    path = tmp_path / "top.h5"
    code, out, err = ran(*TORCHRUN, count, *command(photos, path))
    assert code == 0, err
    assert all(f"shard {index}/{count} (by RANK)" in out for index in range(count))
    assert path.read_bytes() == whole.read_bytes()
    assert os.listdir(tmp_path) == ["top.h5"]


def slow_data(folder, photos):
    """A data set that takes its time over every image."""
    (folder / "data.py").write_text(
        "import time\n"
        "from deconvnet import zoo\n"
        "from deconvnet.data.image_folder import ImageFolder\n"
        "class Slow(ImageFolder):\n"
        "    def __getitem__(self, index):\n"
        "        time.sleep(0.3)\n"
        "        return super().__getitem__(index)\n"
        f"def data():\n    return Slow({str(photos)!r}, zoo.PREPROCESSING)\n"
    )
    return f"{folder / 'data.py'}:data"


def test_a_killed_rank_and_another_number_of_them(tmp_path, photos):
    """torchrun ends the others, which save; three go on where two were."""
    data, path, whole = slow_data(tmp_path, photos), tmp_path / "a.h5", tmp_path / "whole.h5"
    assert ran(sys.executable, *command(data, whole))[0] == 0
    parts = tmp_path / "a.h5.parts"
    words = [*TORCHRUN, "2", *command(data, path, "--save-every", "0")]
    with subprocess.Popen(words, cwd=ROOT, stderr=subprocess.PIPE, text=True) as launcher:
        while not any(parts.glob("part-*")):
            time.sleep(0.02)
        (name, *_) = [part.name for part in parts.glob("part-*")]
        os.kill(int(name.split("-")[4]), signal.SIGKILL)
        err = launcher.communicate()[1]
    assert launcher.returncode != 0, err
    assert not path.exists()
    assert any(parts.iterdir())
    code, out, err = ran(*TORCHRUN, 3, *command(data, path))
    assert (code, "going on: " in out) == (0, True), err
    assert path.read_bytes() == whole.read_bytes()
    assert not parts.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("workers", [0, 2])
def test_a_signal_to_the_command_and_its_readers(tmp_path, photos, whole, number, workers):
    """A terminal, and SLURM, send it to every process of the group."""
    path = tmp_path / "top.h5"
    words = command(
        slow_data(tmp_path, photos), path, "--workers", str(workers), "--save-every", "0"
    )
    with subprocess.Popen(
        [sys.executable, *words], cwd=ROOT, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        while not path.with_name("top.h5.parts").exists():
            time.sleep(0.02)
        os.killpg(process.pid, number)
        err = process.stderr.read().decode()
    assert process.returncode == 128 + number, err
    assert "images are done and kept; resume with" in err
    code, out, err = ran(sys.executable, *words)
    assert (code, "going on: " in out) == (0, True)
    assert not path.with_name("top.h5.parts").exists()


class Generated:
    """Images made when they are asked for."""

    def __init__(self, count):
        self.count = count

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        return torch.randn(3, 32, 32, generator=torch.Generator().manual_seed(index))


class Hoarding(Generated):
    """What the measurement must catch: a tenth of the images stays in memory."""

    def __init__(self, count):
        super().__init__(count)
        self.kept = []

    def __getitem__(self, index):
        if index % 10 == 0:
            self.kept.append(torch.ones(3, 32, 32))
        return super().__getitem__(index)


def growth(path, data):
    """Megabytes by which memory grows from image 2,000 on, with a checkpoint now and then."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.Conv2d(8, 16, 3), nn.ReLU()).eval()
    at = {}

    def report(done, total):
        at[done] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

    def work():
        mine(model, data, path, batch_size=50, save_every=0.5, resume=True, report=report)
        path.with_suffix(".txt").write_text(str(at[len(data)] - at[2_000]))

    assert ended([forked(work)], seconds=600) == [0]
    return float(path.with_suffix(".txt").read_text())


def test_memory_does_not_grow_with_the_data_set(tmp_path):
    assert growth(tmp_path / "a.h5", Generated(20_000)) < 4


def test_the_measurement_catches_what_grows(tmp_path):
    assert growth(tmp_path / "a.h5", Hoarding(20_000)) > 4
