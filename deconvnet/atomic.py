"""Writing a file so that it is there whole, or not at all."""

import errno
import os
import secrets
import stat
from collections.abc import Callable
from os import PathLike
from pathlib import Path
from typing import BinaryIO

from .arguments import expanded

# What a file system answers when it cannot sync a folder: the rename itself has succeeded by then.
_CANNOT_SYNC_FOLDERS = (errno.EINVAL, errno.ENOTSUP, errno.EACCES, errno.EPERM)
_DAY = 24 * 60 * 60  # seconds


def write_whole(path: str | PathLike[str], data: bytes | Callable[[BinaryIO], None]) -> None:
    """Write ``data`` to ``path``: whoever opens it sees the old file or the new one, never a part.

    The bytes go to a temporary file in the same folder (a rename is atomic only within one file
    system), are forced to the disk, and take the target's name in one step. A process killed
    half-way leaves the target untouched, and at worst a file ``.deconvnet-*.tmp`` beside it.
    The folder is made if it is missing; a link is followed; the mode of an old target is kept.

    Args:
        path: the target file.
        data: the whole content; or what writes it, into a file that can be read again too.

    Raises:
        OSError: the target is a folder, a device, or read-only, or the disk refused (full, not
            writable). The subclass and ``errno`` are the system's; the old target is intact and
            the temporary file is gone.
    """
    target = Path(os.path.realpath(expanded(path)))
    try:
        mode = _mode_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        _write_and_rename(target, data, mode)
        _sync_folder(target.parent)
    except OSError as error:
        size = "" if callable(data) else f"{len(data)} bytes: "
        raise _refused(path, error, size) from error


def check_writable(path: str | PathLike[str]) -> None:
    """Find out whether ``write_whole`` could write here, before hours of work that it would end.

    The folder is made if it is missing. What killed processes left in it more than a day ago is
    removed.

    Raises:
        OSError: as ``write_whole``, but for a disk that will be full later.
    """
    target = Path(os.path.realpath(expanded(path)))
    try:
        _mode_of(target)
        target.parent.mkdir(parents=True, exist_ok=True)
        probe = _temporary(target)
        with open(probe, "xb"):
            now = probe.stat().st_mtime  # the file system's own clock, whatever ours says
        probe.unlink()
    except OSError as error:
        raise _refused(path, error) from error
    for left in target.parent.glob(_temporary(target, of="*").name):
        try:
            if now - left.stat().st_mtime > _DAY:
                left.unlink()
        except OSError:  # another process was faster, or it is not ours to remove
            continue


def _mode_of(target: Path) -> int | None:
    """The permission bits of the old target, none if there is none; refuse what must stay."""
    try:
        mode = target.stat().st_mode
    except FileNotFoundError:
        return None
    if stat.S_ISDIR(mode):
        raise IsADirectoryError(errno.EISDIR, "it is a folder")
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "it is not a regular file")
    if not mode & 0o222:  # a rename would not ask, so we do
        raise PermissionError(errno.EACCES, "it is marked read-only")
    return stat.S_IMODE(mode)


def _refused(path: str | PathLike[str], error: OSError, size: str = "") -> OSError:
    return OSError(
        error.errno,
        f"{str(path)!r} could not be written ({size}{error.strerror or error}); "
        "give a file name in a folder that can be written and has room",
    )


def _temporary(target: Path, *, of: str = "") -> Path:
    # The name does not grow with the target's, which may already be as long as names may be.
    return target.with_name(f".deconvnet-{of or f'{os.getpid()}-{secrets.token_hex(8)}'}.tmp")


def _write_and_rename(
    target: Path, data: bytes | Callable[[BinaryIO], None], mode: int | None
) -> None:
    temporary = _temporary(target)
    try:
        with open(temporary, "x+b") as file:
            if callable(data):
                data(file)
            else:
                file.write(data)
            file.flush()
            os.fsync(file.fileno())
        if mode is not None:
            temporary.chmod(mode)
        os.replace(temporary, target)
    except BaseException:  # also Ctrl-C: nothing may be left behind
        temporary.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Force the new name itself to the disk, where the system has a way to do that."""
    if os.name == "nt":
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY)  # not all folders that are written may be read
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC_FOLDERS:
            raise
