"""A file between HDF5 and the disk."""

from __future__ import annotations

import io
import os
from typing import Any, BinaryIO

SMALL = 2**16  # bytes: its own bookkeeping comes in pieces no larger


class Shielded(io.RawIOBase):
    """A file for HDF5 to write through, whose refusals it never sees.

    On a full disk HDF5 may take the interpreter down. Here the first error is kept, later writes
    are dropped, and ``check`` raises when HDF5 has let go of the file.

    Args:
        file: opened by Python, for reading and writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = self._end = 0
        self._error: OSError | None = None
        self._late: dict[int, bytes] = {}  # what HDF5 must find again to close the file

    def check(self) -> None:
        """Raise what the disk refused.

        Raises:
            OSError: the first refusal.
        """
        if self._error is not None:
            raise self._error

    def seekable(self) -> bool:
        """True."""
        return True

    def readable(self) -> bool:
        """True."""
        return True

    def writable(self) -> bool:
        """True."""
        return True

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Only noted: the system seeks when it reads or writes."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = base + offset
        return self._place

    def tell(self) -> int:
        """The place noted."""
        return self._place

    def write(self, data: Any) -> int:
        """All of it, or so it is said."""
        size = memoryview(data).nbytes
        if self._error is None:
            try:
                self._file.seek(self._place)
                self._file.write(data)
            except OSError as error:
                self._error = error
        if self._error is not None and size <= SMALL:
            self._late[self._place] = bytes(memoryview(data).cast("B"))
        self._place += size
        self._end = max(self._end, self._place)
        return size

    def readinto(self, buffer: Any) -> int:
        """What is there; zeros where it was not taken."""
        view = memoryview(buffer).cast("B")
        count = 0
        if not self._file.closed:
            try:
                self._file.seek(self._place)
                count = self._file.readinto(view)  # type: ignore[attr-defined]
            except OSError as error:
                self._error = error
        view[count:] = bytes(len(view) - count)
        first, last = self._place, self._place + len(view)
        for start, late in self._late.items():
            here, there = max(first, start), min(last, start + len(late))
            if here < there:
                view[here - first : there - first] = late[here - start : there - start]
        self._place += len(view)
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """The length that HDF5 asks for, at its end."""
        self._end = self._place if size is None else size
        if self._error is None:
            try:
                self._file.truncate(self._end)
            except OSError as error:
                self._error = error
        return self._end

    def flush(self) -> None:
        """To the system."""
        if self._error is None:
            try:
                self._file.flush()
            except OSError as error:
                self._error = error
