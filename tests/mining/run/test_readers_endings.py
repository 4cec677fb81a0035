"""However a run with readers ends, the process ends and no reader is left."""

from __future__ import annotations

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
import torch
from torch import nn

from deconvnet.data import ImageError
from deconvnet.mining.mine import mine

pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
ROOT = Path(__file__).parents[3]
PATIENCE = 600  # seconds that a process has to end
GRACE = 5  # seconds that its readers, which got the same signal, may take longer
PROGRAM = """
import os, time
import torch
from torch import nn
from deconvnet.data import ImageError
from deconvnet.mining.mine import mine

class Data:
    def __len__(self):
        return 400

    def __getitem__(self, index):
        if 8 < index < 48:
            print("reading", os.getpid(), flush=True)
            time.sleep(SECONDS)
        if index == 20:
            return ODD
        if index in BROKEN:
            raise ImageError("it is broken")
        return torch.full((3, 8, 8), float(index))

SECONDS, ODD, BROKEN, options = 0.0, torch.zeros(3, 8, 8), (), {}
CHANGE
model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval()
print("begun", flush=True)
mine(model, Data(), PATH, k=3, batch_size=4, workers=2, **options)
"""
WAYS = {
    "an item of another size": ("ODD = torch.zeros(3, 9, 9)", "item 20 of the data set has shape"),
    "an item that cannot be made": ("Data.__getitem__ = lambda s, i: {0: torch.zeros(3, 8, 8)}[i]",
                                    r"item \d+ of the data set cannot be made"),
    "NaN": ("ODD = torch.full((3, 8, 8), torch.nan); options['nan'] = 'error'", "are NaN"),
    "too many bad images": ("BROKEN = range(9, 300)", "images cannot be read"),
    "an error in the caller's report": (
        "def report(done, of):\n    raise OSError('no terminal')\noptions['report'] = report",
        "OSError: no terminal",
    ),
    "while a reader is stuck": (
        "SECONDS = 1000\ndef report(done, of):\n    raise OSError('no terminal')\n"
        "options['report'] = report; options['stop'] = lambda: False",
        "OSError: no terminal",
    ),
}  # fmt: skip


def program(path, change=""):
    return PROGRAM.replace("CHANGE", change).replace("PATH", repr(str(path)))


@contextmanager
def started(text):
    """A process in a session of its own, of which nothing is left afterwards."""
    with subprocess.Popen(
        [sys.executable, "-c", text],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            yield process
        finally:
            for left in {process.pid, *members(process.pid)}:
                with suppress(ProcessLookupError):
                    os.kill(left, signal.SIGKILL)


def members(session):
    """The processes of a session that run."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[3]) == session and fields[0] not in "ZX":
            found.append(int(folder.name))
    return found


def ended(process):
    """What a process says when it ends, which it must; and no process of its session is left."""
    _, said = process.communicate(timeout=PATIENCE)
    until = time.monotonic() + GRACE
    while members(process.pid) and time.monotonic() < until:
        time.sleep(0.05)
    assert members(process.pid) == []
    return said


needs_proc = pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="there is no /proc")


@needs_proc
@pytest.mark.parametrize(("change", "said"), WAYS.values(), ids=WAYS)
def test_after_an_error_the_process_ends(tmp_path, change, said):
    with started(program(tmp_path / "a.h5", change)) as process:
        assert re.search(said, text := ended(process)), text
        assert process.returncode == 1


@needs_proc
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_one_signal_to_the_whole_job_ends_it(tmp_path, number):
    """A script of the user's, which asks for no end in good order."""
    with started(program(tmp_path / "a.h5", "SECONDS = 2")) as process:
        assert process.stdout.readline() == "begun\n"
        reading = set()
        while len(reading) < 2:
            line = process.stdout.readline()
            assert line, "it ended before both readers had begun"
            reading.add(line)
        os.killpg(process.pid, number)
        said = ended(process)
        assert process.returncode == -number, said


@needs_proc
def test_readers_do_not_outlive_a_process_that_was_killed(tmp_path):
    with started(program(tmp_path / "a.h5", "SECONDS = 0.2")) as process:
        assert process.stdout.readline() == "begun\n"
        until = time.monotonic() + PATIENCE
        while len(members(process.pid)) < 3 and time.monotonic() < until:
            time.sleep(0.05)
        assert len(members(process.pid)) >= 3
        os.kill(process.pid, signal.SIGKILL)
        while members(process.pid) and time.monotonic() < until:
            time.sleep(0.1)
        ended(process)


# --- in a notebook, which keeps the exception and goes on ----------------------------------------


class Data:
    def __init__(self, *, odd=None, broken=()):
        self.odd, self.broken = odd, broken

    def __len__(self):
        return 400

    def __getitem__(self, index):
        if index in self.broken:
            raise ImageError("it is broken")
        return torch.zeros(3, 9, 9) if index == self.odd else torch.full((3, 8, 8), float(index))


def interrupted(done, of):
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("data", "options", "error"),
    [
        (Data(odd=20), {}, ValueError),
        (Data(broken=range(9, 300)), {}, ValueError),
        (Data(), {"report": interrupted}, KeyboardInterrupt),
        (Data(), {"stop": lambda: True, "resume": True}, RuntimeError),
        (Data(), {}, None),
    ],
    ids=["size", "bad", "interrupted cell", "stopped", "done"],
)
def test_no_reader_is_left_beside_the_exception(tmp_path, data, options, error):
    model, caught = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), None
    try:
        mine(model, data, tmp_path / "a.h5", k=3, batch_size=4, workers=2, **options)
    except BaseException as raised:
        caught = raised  # with its traceback, which refers to every frame
    assert multiprocessing.active_children() == []
    assert (type(caught) if error is None else isinstance(caught, error)) in (type(None), True)
