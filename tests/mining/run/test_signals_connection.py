"""A lost connection and SLURM's warning, sent to a real process and its readers."""

import os
import pty
import signal
import subprocess
import sys
import time

import pytest

from deconvnet.mining.run.part_folder import PartFolder
from tests.support.commands import make_files

SLOW = """
import time, torch

class Slow:
    def __len__(self):
        return 4000

    def __getitem__(self, index):
        time.sleep(0.02)
        return torch.full((3, 96, 96), float(index))

def images():
    return Slow()
"""


@pytest.fixture
def command(tmp_path):
    (make_files(tmp_path) / "slow.py").write_text(SLOW)
    data, store = f"{tmp_path}/slow.py:images", str(tmp_path / "top.h5")
    program = [sys.executable, "-m", "deconvnet", "mine", "zoo:zfnet_mini", data, "-o", store]
    how = ["--layers", "relu1", "--batch-size", "2", "--save-every", "0", "--workers", "2"]
    return program + how


def begun(process, path):
    """Wait until the first checkpoint is there."""
    for _ in range(6000):
        if PartFolder.beside(path).names():
            return
        assert process.poll() is None, "it ended before it had begun"
        time.sleep(0.1)
    raise AssertionError("no checkpoint after ten minutes")


def check_saved(process, path, status):
    assert process.wait(600) == status
    (part,) = PartFolder.beside(path).headings()
    assert 0 < part.seen < 4000


def test_a_lost_connection(command, tmp_path):
    terminal, inside = pty.openpty()
    process = subprocess.Popen(
        command, stdin=inside, stdout=inside, stderr=inside, start_new_session=True,
        preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0),
    )  # fmt: skip
    os.close(inside)
    begun(process, tmp_path / "top.h5")
    os.close(terminal)  # the kernel sends SIGHUP; nothing can be written from here on
    check_saved(process, tmp_path / "top.h5", 128 + signal.SIGHUP)


def test_a_warning_to_every_process_of_a_job(command, tmp_path):
    """SLURM signals the readers too."""
    process = subprocess.Popen(command, start_new_session=True, stderr=subprocess.PIPE, text=True)
    begun(process, tmp_path / "top.h5")
    os.killpg(process.pid, signal.SIGUSR1)
    _, said = process.communicate(timeout=600)
    check_saved(process, tmp_path / "top.h5", 128 + signal.SIGUSR1)
    assert "images are done and kept; resume with" in said
