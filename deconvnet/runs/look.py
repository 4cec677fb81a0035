"""What a run has to know of a data set before it begins, learnt where the data set will be read."""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from deconvnet import fingerprint
from deconvnet.items import check_map_style, check_repeatable, first_image
from deconvnet.runs.readers import ask

IDIOM = (
    "open the file in each process that reads it: keep os.getpid() beside the handle, and open it "
    "again where os.getpid() is another; or mine with workers=0"
)
"""What to do about a handle that several processes share."""


@dataclass(frozen=True, eq=False)
class Look:
    """What was seen of a data set.

    Args:
        image: the first one that can be read, (channels, *size).
        fingerprint: see ``fingerprint.of_dataset``.
    """

    image: Tensor
    fingerprint: str


def look(dataset: Any, workers: int) -> Look:
    """Read a few images; in a reader, if readers will be started.

    A data set that opens its file when it is first read must not do so here: all readers that are
    forked from this process would share the file's position, and read each other's images.

    Args:
        dataset: map-style.
        workers: how many readers there will be; 0: this process reads.

    Raises:
        TypeError: the data set is not map-style, or its items are no images.
        ValueError: it is empty, none of its images can be read, an image is another one each time
            it is read, or the data set reads from a file that was open in this process already.
        ReaderDied, RuntimeError: as ``readers.reading``.
    """
    check_map_style(dataset)
    if not workers:
        return _look(dataset)
    before = _positions()
    found = ask(_look, dataset)
    after = _positions()
    moved = [file for file, position in before.items() if after.get(file, position) != position]
    if moved:
        raise ValueError(
            f"the data set reads from a file that was opened before the readers were started "
            f"({_name(moved[0][0])}): they share its position, and would read each other's images; "
            + IDIOM
        )
    return found


def _look(dataset: Any) -> Look:
    image = first_image(dataset)
    check_repeatable(dataset)
    return Look(image, fingerprint.of_dataset(dataset))


def _positions() -> dict[tuple[int, int, int], int]:
    """{(descriptor, device, inode): position} of the regular files that are open for reading.

    A process that is forked shares the position of each, so that one moved by a reader has moved
    here. Files that are only mapped or read by offset stay where they are, and do no harm.
    """
    try:
        import fcntl  # there is none on Windows, where processes share no files

        descriptors = [int(name) for name in os.listdir("/dev/fd")]
    except (ImportError, OSError, ValueError):
        return {}
    found, standard = {}, set()
    for descriptor in sorted(descriptors):
        try:
            status = os.fstat(descriptor)
            mode = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
            position = os.lseek(descriptor, 0, os.SEEK_CUR) if stat.S_ISREG(status.st_mode) else -1
        except OSError:  # the one that listed the folder, closed by now
            continue
        file = (status.st_dev, status.st_ino)
        if descriptor <= 2:  # readers may print into the same file as we do
            standard.add(file)
        elif position >= 0 and mode != os.O_WRONLY and file not in standard:
            found[(descriptor, *file)] = position
    return found


def _name(descriptor: int) -> str:
    for folder in ("/proc/self/fd", "/dev/fd"):
        try:
            return repr(os.readlink(f"{folder}/{descriptor}"))
        except OSError:
            continue
    return f"descriptor {descriptor}"
