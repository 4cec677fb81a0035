"""Ctrl-C and SIGTERM: the command finishes its microbatch, saves, and says how to go on."""

import os
import signal
import threading
from contextlib import nullcontext

import pytest

import deconvnet.mining.mine
from deconvnet.cli.long_runs import interruptible
from deconvnet.mining.run.part_folder import PartFolder
from deconvnet.mining.run.signals import Stopping
from tests.support.commands import make_files, said

MODEL = "zoo:zfnet_mini"
pytestmark = pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
SIGNALS = [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
ASKING = [(signal.SIGUSR1, 138), (signal.SIGHUP, 129)]


def twice(number, seen):
    """Get a signal twice while signals are noted; what was there to be seen in between."""
    with Stopping() as stopping:
        seen.append((stopping.asked(), signal.getsignal(number)))
        os.kill(os.getpid(), number)
        seen.append((stopping.asked(), stopping.status))
        os.kill(os.getpid(), number)
        seen.append("nothing happened")


@pytest.mark.parametrize(("number", "status"), SIGNALS)
def test_the_first_signal_is_noted_and_the_second_stops(number, status):
    before, seen = signal.getsignal(number), []
    with pytest.raises(KeyboardInterrupt):
        twice(number, seen)
    assert seen[0][0] is False
    assert seen[0][1] is not before
    assert seen[1:] == [(True, status)]
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "status"), ASKING)
def test_a_signal_that_asks_may_come_again(number, status):
    """A lost connection is told by the terminal and by the shell."""
    before = signal.getsignal(number)
    with Stopping() as stopping:
        for _ in range(3):
            os.kill(os.getpid(), number)
        assert (stopping.asked(), stopping.status) == (True, status)
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    assert signal.getsignal(number) is before


@pytest.mark.parametrize(("number", "status"), ASKING)
def test_what_nohup_ignores_stays_ignored(number, status):
    before = signal.signal(number, signal.SIG_IGN)
    try:
        with Stopping() as stopping:
            os.kill(os.getpid(), number)
            assert not stopping.asked()
        assert signal.getsignal(number) is signal.SIG_IGN
    finally:
        signal.signal(number, before)


def test_other_threads_change_nothing():
    before, seen = signal.getsignal(signal.SIGTERM), []

    def work():
        with Stopping() as stopping:
            seen.append((signal.getsignal(signal.SIGTERM), stopping.asked()))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [(before, False)]


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    return make_files(tmp_path_factory.mktemp("files")) / "photos"


class Signalling:
    """The progress of a run that sends itself signals after its second microbatch."""

    def __init__(self, *numbers):
        self.numbers = numbers
        self.calls = 0

    def __call__(self, done, total):
        self.calls += 1
        if self.calls == 2:
            for number in self.numbers:
                os.kill(os.getpid(), number)


@pytest.fixture
def signalled(monkeypatch):
    """Makes `deconvnet mine` send itself signals."""

    def by(*numbers):
        shown = nullcontext(Signalling(*numbers))
        monkeypatch.setattr(deconvnet.mining.mine, "reporting", lambda *told, progress: shown)

    return by


@pytest.mark.parametrize(("number", "status"), [*SIGNALS, *ASKING])
def test_the_command_saves_and_says_how_to_go_on(
    photos, tmp_path, capfd, monkeypatch, signalled, number, status
):
    path = tmp_path / "with space.h5"
    command = ["mine", MODEL, photos, "-o", path, "--layers", "relu2", "--batch-size", 1]
    signalled(number)
    code, out, err = said(capfd, *command, "--restart")
    assert code == status
    assert "deconvnet: stopped: 2 of 5 images are done and kept; resume with" in err
    expected = f"deconvnet mine {MODEL} {photos} -o '{path}' --layers relu2 --batch-size 1"
    assert err.splitlines()[-1].strip() == expected
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == 2
    signalled()
    code, out, err = said(capfd, *command)
    assert code == 0
    assert "going on: 2 of 5 images are done already" in out
    assert os.listdir(tmp_path) == ["with space.h5"]
    code, out, err = said(capfd, *command)
    assert (code, "is finished already, from the same run: nothing was done" in out) == (0, True)
    whole = tmp_path / "whole.h5"
    assert said(capfd, *command[:4], whole, *command[5:])[0] == 0
    assert whole.read_bytes() == path.read_bytes()


def test_a_second_signal_keeps_the_last_checkpoint(photos, tmp_path, capfd, signalled):
    path = tmp_path / "top.h5"
    command = ["mine", MODEL, photos, "-o", path, "--layers", "relu2", "--batch-size", 1]
    signalled(signal.SIGTERM, signal.SIGTERM)
    code, out, err = said(capfd, *command, "--save-every", 0)
    assert code == 143
    assert "deconvnet: stopped at once: the last checkpoint is kept" in err
    assert err.splitlines()[-1].strip() == f"deconvnet {' '.join(map(str, command))} --save-every 0"
    (part,) = PartFolder.beside(path).headings()
    assert part.seen == 1


def test_torchrun_is_part_of_what_was_typed(photos, tmp_path, capfd, monkeypatch, signalled):
    for name, value in (("TORCHELASTIC_RUN_ID", "x"), ("LOCAL_WORLD_SIZE", "2")):
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "2")
    signalled(signal.SIGINT)
    command = ["mine", MODEL, photos, "-o", tmp_path / "a.h5", "--batch-size", 1]
    code, out, err = said(capfd, *command, "--layers", "relu2")
    assert code == 130
    assert "shard 0/2 (by RANK)" in out
    assert "  torchrun --nproc-per-node 2 -m deconvnet mine zoo:" in err


def test_processes_of_a_job_without_waiting_for_each_other(photos, tmp_path, capfd, monkeypatch):
    path, whole = tmp_path / "top.h5", tmp_path / "whole.h5"
    command = ["mine", MODEL, photos, "--layers", "relu2", "--batch-size", 1, "-o"]
    assert said(capfd, *command, whole)[0] == 0
    monkeypatch.setenv("SLURM_ARRAY_TASK_COUNT", "2")
    monkeypatch.setenv("SLURM_ARRAY_TASK_MIN", "1")
    monkeypatch.setenv("SLURM_ARRAY_TASK_ID", "2")
    code, out, err = said(capfd, *command, path)
    assert (code, "shard 1/2 (by SLURM_ARRAY_TASK_ID)" in out) == (0, True)
    assert "this share is done; of all, 2 of 5 images are done: the last process writes" in err
    assert not path.exists()
    code, out, err = said(capfd, *command, path, "--shard", "0/2")  # what is typed wins
    assert (code, "shard 0/2 (by --shard)" in out) == (0, True)
    assert path.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize(
    ("typed", "message"), [("2/2", "shard 2/2 was given"), ("x", "INDEX/COUN")]
)
def test_a_shard_that_is_none(photos, tmp_path, capfd, typed, message):
    code, out, err = said(capfd, "mine", MODEL, photos, "-o", tmp_path / "a.h5", "--shard", typed)
    assert (code, message in err) == (2, True)


def test_a_signal_that_nobody_has_sent_is_no_excuse(tmp_path):
    """Ctrl-C before the handlers are there, or in a debugger."""

    def work():
        options = type("Options", (), {"output": "x", "typed": ["mine"]})
        with interruptible(options):
            raise KeyboardInterrupt

    with pytest.raises(SystemExit) as caught:
        work()
    assert caught.value.code == 130
