"""The folder beside a store that holds the parts of its processes until all are done."""

from __future__ import annotations

import errno
import hashlib
import os
import secrets
import warnings
from contextlib import suppress
from fnmatch import fnmatchcase
from os import PathLike
from pathlib import Path

from deconvnet.atomic import write_whole

from .part import Part
from .request import Request

_ENDING = ".parts"
_PATTERN = "part-*-of-*-*-*.safetensors"
_ASIDE = "doubtful-"
_TEMPORARY = ".deconvnet-*.tmp"
_LONGEST_NAME = 255  # bytes, on most file systems
_NO_FOLDER = (errno.ENOENT, errno.ENOTDIR, errno.ENAMETOOLONG)
_TRIES = 5  # whoever has assembled the store removes the folder, perhaps under our hands


class PartFolder:
    """Parts on disk; every process writes only its own, so that no lock is needed."""

    def __init__(self, folder: str | PathLike[str]) -> None:
        self.path = Path(folder)

    @classmethod
    def beside(cls, target: str | PathLike[str]) -> PartFolder:
        """The folder of a store that is, or will be, at ``target``."""
        real = Path(os.path.realpath(target))
        name = real.name
        if len(os.fsencode(name + _ENDING)) > _LONGEST_NAME:
            name = f".deconvnet-{hashlib.sha256(os.fsencode(name)).hexdigest()[:32]}"
        return cls(real.parent / (name + _ENDING))

    def names(self) -> list[Path]:
        """The files of all parts, in the order of their names."""
        return self._matching(_PATTERN)

    def new_file(self, label: str) -> Path:
        """A unique name; the label says which shard it belongs to."""
        return self.path / f"part-{label}-{os.getpid()}-{secrets.token_hex(4)}.safetensors"

    def headings(self) -> list[Part]:
        """All parts, without their tables."""
        parts = []
        for name in self.names():
            with suppress(FileNotFoundError):  # the store has been assembled meanwhile
                parts.append(Part.heading(name))
        return parts

    def of(self, request: Request) -> list[Part]:
        """The headings of all parts, which must be of this run; an error shows what differs."""
        parts = self.headings()
        for part in parts:
            if other := request.differs(part.request):
                raise ValueError(
                    f"{str(self.path)!r} holds unfinished work on {other}; write to another "
                    "file, or drop that work: resume=False, on the command line --restart"
                )
        return parts

    def write(self, file: Path, part: Part) -> None:
        """Write a part in one step; if that fails, its older state is intact."""
        data = part.to_bytes()
        for attempt in range(_TRIES):
            try:
                write_whole(file, data)
                return
            except (FileNotFoundError, FileExistsError):  # mkdir met a removal
                if attempt == _TRIES - 1:
                    raise
            except OSError:
                self._remove_if_empty()
                raise

    def tidy(self, request: Request) -> None:
        """Remove the parts of a finished run, not those of another; failing to is a warning."""
        try:
            self.of(request)
            self.clear()
        except OSError as error:
            warnings.warn(
                f"the store is finished, but its parts in {str(self.path)!r} could not be removed "
                f"({error.strerror or error}); they are no longer needed",
                stacklevel=7,  # whoever called mine
            )
        except ValueError:  # they are somebody's unfinished work
            return

    def clear(self) -> None:
        """Remove the parts, and the folder if nothing else is in it."""
        for pattern in (_PATTERN, _PATTERN.replace("part-", _ASIDE, 1), _TEMPORARY):
            for name in self._matching(pattern):
                name.unlink(missing_ok=True)
        self._remove_if_empty()

    def set_aside(self, file: Path) -> Path | None:
        """Rename a part so that it is not read again; None if there is no such file."""
        aside = file.with_name(file.name.replace("part-", _ASIDE, 1))
        try:
            os.replace(file, aside)
        except FileNotFoundError:
            return None
        return aside

    def _remove_if_empty(self) -> None:
        with suppress(OSError):  # there is none, or somebody's file is in it
            self.path.rmdir()

    def _matching(self, pattern: str) -> list[Path]:
        try:
            names = os.listdir(self.path)
        except OSError as error:
            if error.errno not in _NO_FOLDER:
                raise
            return []
        return [self.path / name for name in sorted(names) if fnmatchcase(name, pattern)]
