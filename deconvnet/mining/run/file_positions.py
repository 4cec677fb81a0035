"""Detect and separate the file positions that a forked reader shares with its parent."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress

IDIOM = (
    "open the file in each process that reads it: keep os.getpid() beside the handle, and open it "
    "again where os.getpid() is another; or mine with workers=0"
)
"""The advice for a handle that several processes share."""
_MAKING = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_LONGEST = 2.0  # seconds that a file which moves by itself is watched


def own_positions() -> None:
    """Reopen the files that this process has inherited open for reading, at the same positions.

    A forked process shares positions with its parent and its siblings: one would read where
    another has sought, and nothing would fail. The descriptors stay the same. That is possible
    on Linux; see ``Positions`` for other systems.
    """
    for (descriptor, *_), (position, _) in _open_files(standard=True).items():
        flags = _flags(descriptor)
        if flags & os.O_ACCMODE != os.O_RDONLY:  # what is written to may be a log that all share
            continue
        with suppress(OSError):  # not Linux, or no longer allowed
            again = os.open(f"/proc/self/fd/{descriptor}", flags & ~_MAKING)
            os.lseek(again, position, os.SEEK_SET)
            os.dup2(again, descriptor, os.get_inheritable(descriptor))
            os.close(again)


class Positions:
    """The positions of all regular files that this process has open for reading.

    One that has moved although only readers were at work is shared with them. Files that are
    memory-mapped, or read by offset, do not move.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _open_files()

    def check(self) -> None:
        """Check that readers have moved none of them since.

        A file that is written to at its end is a log; one that goes on moving while no reader
        reads is read by somebody else.
        """
        took = time.monotonic() - self._began
        now = _open_files()
        moved = []
        for file, (position, size) in now.items():
            before, size_before = self._before.get(file, (position, size))
            if size_before == size and before != position:
                moved.append(file)
        if not moved:
            return
        time.sleep(min(_LONGEST, max(0.1, took)))
        after = _open_files()
        for file in moved:
            if after.get(file) == now[file]:
                raise ValueError(
                    "the data set reads from a file that was opened before the readers were "
                    f"started ({_name(file[0])}): they share its position, and read each other's "
                    f"images; {IDIOM}"
                )


def _open_files(*, standard: bool = False) -> dict[tuple[int, int, int], tuple[int, int]]:
    """{(descriptor, device, inode): (position, size)} of regular files open for reading.

    With ``standard`` also of standard input, output and error.
    """
    try:
        descriptors = sorted(int(name) for name in os.listdir("/dev/fd"))
    except (OSError, ValueError):  # Windows, where processes share no files
        return {}
    files: dict[tuple[int, int, int], tuple[int, int]] = {}
    streams = set()
    for descriptor in descriptors:
        try:
            status, mode = os.fstat(descriptor), _flags(descriptor) & os.O_ACCMODE
            regular = stat.S_ISREG(status.st_mode)
            position = os.lseek(descriptor, 0, os.SEEK_CUR) if regular else -1
        except OSError:  # the one that listed the folder, closed by now
            continue
        file = (status.st_dev, status.st_ino)
        if descriptor <= 2 and not standard:  # readers may print into the same file as we do
            streams.add(file)
        elif position >= 0 and mode != os.O_WRONLY and file not in streams:
            files[(descriptor, *file)] = (position, status.st_size)
    return files


def _flags(descriptor: int) -> int:
    import fcntl  # there is none on Windows

    return fcntl.fcntl(descriptor, fcntl.F_GETFL)


def _name(descriptor: int) -> str:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return repr(os.readlink(f"{folder}/{descriptor}"))
        except OSError:
            continue
    return f"descriptor {descriptor}"
