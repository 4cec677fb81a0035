"""Files that processes share: open before a reader was forked, and read by it at one position."""

from __future__ import annotations

import os
import stat
import time
from dataclasses import dataclass

IDIOM = (
    "open the file in each process that reads it: keep os.getpid() beside the handle, and open it "
    "again where os.getpid() is another; or mine with workers=0"
)
"""What to do about a handle that several processes share."""
_LONGEST = 2.0  # seconds that a file which moves by itself is watched


@dataclass(frozen=True)
class _At:
    """Where a descriptor stands in its file, and how long that is."""

    position: int
    size: int


class Positions:
    """The positions of all regular files that this process has open for reading.

    A process that is forked shares them, so that one moved by a reader has moved here. Files that
    are only mapped, or read by offset, stay where they are, and do no harm.
    """

    def __init__(self) -> None:
        self._began = time.monotonic()
        self._before = _positions()

    def check(self) -> None:
        """See that readers have moved none of them since.

        A file that is written to at its end is a log; one that goes on moving while no reader
        reads is read by somebody else.

        Raises:
            ValueError: one has moved; the message names the file and what to do.
        """
        took = time.monotonic() - self._began
        now = _positions()
        moved = [file for file, at in now.items() if self._moved(file, at)]
        if not moved:
            return
        time.sleep(min(_LONGEST, max(0.1, took)))
        after = _positions()
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


def _positions() -> dict[tuple[int, int, int], _At]:
    """{(descriptor, device, inode): where it stands}."""
    try:
        import fcntl  # there is none on Windows, where processes share no files

        descriptors = [int(name) for name in os.listdir("/dev/fd")]
    except (ImportError, OSError, ValueError):
        return {}
    found: dict[tuple[int, int, int], _At] = {}
    standard = set()
    for descriptor in sorted(descriptors):
        try:
            status = os.fstat(descriptor)
            mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
            regular = stat.S_ISREG(status.st_mode)
            position = os.lseek(descriptor, 0, os.SEEK_CUR) if regular else -1
        except OSError:  # the one that listed the folder, closed by now
            continue
        file = (status.st_dev, status.st_ino)
        if descriptor <= 2:  # readers may print into the same file as we do
            standard.add(file)
        elif position >= 0 and mode != os.O_WRONLY and file not in standard:
            found[(descriptor, *file)] = _At(position, status.st_size)
    return found


def _name(descriptor: int) -> str:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return repr(os.readlink(f"{folder}/{descriptor}"))
        except OSError:
            continue
    return f"descriptor {descriptor}"
