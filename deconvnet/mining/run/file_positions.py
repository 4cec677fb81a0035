"""Files that were open before a reader was forked: it shares their positions with its parent."""

from __future__ import annotations

import os
import stat
import time
from contextlib import suppress
from dataclasses import dataclass

IDIOM = (
    "open the file in each process that reads it: keep os.getpid() beside the handle, and open it "
    "again where os.getpid() is another; or mine with workers=0"
)
"""What to do about a handle that several processes share."""
_MAKING = os.O_CREAT | os.O_EXCL | os.O_TRUNC
_LONGEST = 2.0  # seconds that a file which moves by itself is watched


@dataclass(frozen=True)
class _At:
    """Where a descriptor stands in its file, and how long that is."""

    position: int
    size: int


def own_positions() -> None:
    """Give this process positions of its own in the files that it has inherited open for reading.

    A forked process shares them with its parent and its siblings: one would read where another
    has sought, and nothing would fail. Every file is opened once more, stands where it stood, and
    has the same descriptor. That is possible on Linux; see ``Positions`` for the rest.
    """
    for (descriptor, *_), at in _open_files(standard=True).items():
        flags = _flags(descriptor)
        if flags & os.O_ACCMODE != os.O_RDONLY:  # what is written to may be a log that all share
            continue
        with suppress(OSError):  # not Linux, or no longer allowed
            again = os.open(f"/proc/self/fd/{descriptor}", flags & ~_MAKING)
            os.lseek(again, at.position, os.SEEK_SET)
            os.dup2(again, descriptor, os.get_inheritable(descriptor))
            os.close(again)


class Positions:
    """The positions of all regular files that this process has open for reading.

    One that has moved although only readers were at work is shared with them. Files that are only
    mapped, or read by offset, stay where they are, and do no harm.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _open_files()

    def check(self) -> None:
        """See that readers have moved none of them since.

        A file that is written to at its end is a log; one that goes on moving while no reader
        reads is read by somebody else.

        Raises:
            ValueError: one has moved; the message names the file and what to do.
        """
        took = time.monotonic() - self._began
        now = _open_files()
        moved = [file for file, at in now.items() if self._moved(file, at)]
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

    def _moved(self, file: tuple[int, int, int], at: _At) -> bool:
        before = self._before.get(file)
        return before is not None and before.size == at.size and before.position != at.position


def _open_files(*, standard: bool = False) -> dict[tuple[int, int, int], _At]:
    """{(descriptor, device, inode): where it stands} of regular files that are open for reading.

    Args:
        standard: those of standard input, output and error too.
    """
    try:
        descriptors = sorted(int(name) for name in os.listdir("/dev/fd"))
    except (OSError, ValueError):  # Windows, where processes share no files
        return {}
    found: dict[tuple[int, int, int], _At] = {}
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
            found[(descriptor, *file)] = _At(position, status.st_size)
    return found


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
