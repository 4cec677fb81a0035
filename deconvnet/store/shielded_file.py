"""A file object for HDF5 to write through, that survives a full disk."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from typing import Any, BinaryIO

SMALL = 2**16  # bytes: its own bookkeeping comes in pieces no larger


class Shielded(io.RawIOBase):
    """A file for HDF5 to write through, which hides errors of the disk from it.

    On a full disk HDF5 may take the interpreter down. Here the first error is kept, later writes
    are dropped, and ``check`` raises when HDF5 has let go of the file, which Python has opened for
    reading and writing.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._place = self._end = 0
        self._error: OSError | None = None
        self._late: dict[int, bytes] = {}  # what HDF5 must find again to close the file

    def check(self) -> None:
        """Raise the first error of the disk, if there was one."""
        if self._error is not None:
            raise self._error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Note the position; the file itself seeks when it is read or written."""
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._place, os.SEEK_END: self._end}[whence]
        self._place = base + offset
        return self._place

    def write(self, data: Any) -> int:
        """Write all of it, or claim so."""
        size = memoryview(data).nbytes
        self._try(self._file.seek, self._place)
        self._try(self._file.write, data)
        if self._error is not None and size <= SMALL:
            self._late[self._place] = bytes(memoryview(data).cast("B"))
        self._place += size
        self._end = max(self._end, self._place)
        return size

    def readinto(self, buffer: Any) -> int:
        """Read what is there; zeros where a write was dropped."""
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
        """Set the length, as HDF5 asks at its end."""
        self._end = self._place if size is None else size
        self._try(self._file.truncate, self._end)
        return self._end

    def flush(self) -> None:
        """Flush the file."""
        self._try(self._file.flush)

    def _try(self, operation: Callable[..., object], *arguments: Any) -> None:
        """Unless the disk has refused before; a refusal is kept for ``check``."""
        if self._error is None:
            try:
                operation(*arguments)
            except OSError as error:
                self._error = error
