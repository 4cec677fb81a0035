"""`write_whole`: the old file or the new one, whatever happens in between."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import deconvnet.atomic
from deconvnet.atomic import write_whole

ROOT = Path(__file__).parents[1]

# Two contents of one length, each of one letter: a mixture or a part is seen at once.
WRITER = """
import sys
{imports}
for turn in range(1_000_000):
    letter = b"ab"[turn % 2 : turn % 2 + 1]
    {write}
    if turn == 1:
        print("writing", flush=True)
"""
SIZE = 4_000_000
ATOMIC = ("from deconvnet.atomic import write_whole", f"write_whole(sys.argv[1], letter * {SIZE})")
IN_PLACE = ("from pathlib import Path", f"Path(sys.argv[1]).write_bytes(letter * {SIZE})")


def torn_after_kills(target, how, *, kills):
    """How often, of so many SIGKILLs at odd moments, `target` was left in pieces."""
    imports, write = how
    torn = 0
    for turn in range(kills):
        program = [sys.executable, "-c", WRITER.format(imports=imports, write=write), str(target)]
        with subprocess.Popen(program, stdout=subprocess.PIPE, cwd=ROOT) as process:
            process.stdout.readline()
            time.sleep(0.0007 * turn)
            process.send_signal(signal.SIGKILL)
        content = target.read_bytes()
        torn += content not in (b"a" * SIZE, b"b" * SIZE)
    return torn


def test_writes_and_replaces_and_leaves_nothing_else(tmp_path):
    target = tmp_path / "deep" / "er" / "x.bin"
    write_whole(target, b"one")
    write_whole(str(target), b"two")
    assert target.read_bytes() == b"two"
    assert os.listdir(target.parent) == ["x.bin"]


@pytest.mark.parametrize("name", ["n" * 255, "with space", "%d-{0}", "-leading", "a\nb"])
def test_odd_names(tmp_path, name):
    write_whole(tmp_path / name, b"x")
    assert os.listdir(tmp_path) == [name]


def test_a_link_is_followed_and_the_mode_kept(tmp_path):
    real = tmp_path / "real.bin"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link = tmp_path / "link.bin"
    link.symlink_to(real)
    write_whole(link, b"new")
    assert link.is_symlink()
    assert real.read_bytes() == b"new"
    assert real.stat().st_mode & 0o777 == 0o640


def test_a_new_file_has_the_mode_the_umask_leaves(tmp_path):
    (tmp_path / "plain").write_bytes(b"")
    write_whole(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_is_refused(tmp_path):
    with pytest.raises(IsADirectoryError, match="could not be written .* it is a folder"):
        write_whole(tmp_path, b"x")


def test_a_read_only_target_is_refused_and_intact(tmp_path):
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")
    target.chmod(0o444)
    with pytest.raises(PermissionError, match="marked read-only"):
        write_whole(target, b"new")
    assert target.read_bytes() == b"old"


def test_a_folder_that_is_a_file_is_refused(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OSError, match="could not be written"):
        write_whole(tmp_path / "file" / "x.bin", b"x")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_pipe_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(OSError, match="not a regular file"):
        write_whole(tmp_path / "pipe", b"x")


@pytest.mark.parametrize("where", ["fsync", "replace"])
@pytest.mark.parametrize("kind", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()])
def test_a_failure_keeps_the_old_file_and_no_temporary(tmp_path, monkeypatch, where, kind):
    target = tmp_path / "x.bin"
    target.write_bytes(b"old")

    def fail(*_):
        raise kind

    monkeypatch.setattr(deconvnet.atomic.os, where, fail)
    with pytest.raises(type(kind)) as caught:
        write_whole(target, b"new")
    if isinstance(kind, OSError):
        assert caught.value.errno == errno.ENOSPC
        assert "No space left" in str(caught.value)
    assert target.read_bytes() == b"old"
    assert os.listdir(tmp_path) == ["x.bin"]


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_twenty_kills_leave_no_torn_file(tmp_path):
    assert torn_after_kills(tmp_path / "x.bin", ATOMIC, kills=20) == 0


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="this system has no SIGKILL")
def test_the_kills_catch_a_writer_in_place(tmp_path):
    assert torn_after_kills(tmp_path / "x.bin", IN_PLACE, kills=20) > 0
