"""The folder of an atlas: built beside its place, resumed, and moved there when it is whole."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from deconvnet.arguments import counted, expanded

MARK = "atlas.json"
_OURS = re.compile(
    r"index\.html|atlas\.(css|js|json)|layers/\d+-\d+\.html|data/(index|\d+-\d+)\.js"
    r"|photographs/\d+\.webp|sprites/\d+/\d+-[\w-]+\.webp"
)
"""The files of an atlas; no name in it comes from a layer or an image."""


@dataclass(frozen=True)
class Building:
    """An atlas under construction.

    Args:
        target: where it goes.
        folder: where it is built: a hidden folder beside the target, on the same disk.
    """

    target: Path
    folder: Path

    @staticmethod
    def begin(target: str | PathLike[str], made_from: Mapping[str, object]) -> Building:
        """Start to build, or go on where an earlier call with the same sources was stopped.

        Raises:
            FileExistsError: the target is no atlas, or holds files that are not of one.
        """
        place = Path(os.path.realpath(expanded(target)))
        _restore(place)
        check_target(place)
        building = Building(place, _beside(place, "building"))
        told = json.dumps(made_from, sort_keys=True)
        mark = building.folder / MARK
        if building.folder.is_dir() and not (mark.is_file() and mark.read_text() == told):
            shutil.rmtree(building.folder)
        if not mark.is_file():
            building.write(MARK, told.encode())
        return building

    def has(self, name: str) -> bool:
        """Whether a file is there; it is whole then."""
        return (self.folder / name).is_file()

    def write(self, name: str, content: bytes) -> None:
        """Write a file, which takes its name when it is whole."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f"{path.name}.part")
        part.write_bytes(content)
        os.replace(part, path)

    def finish(self, names: Iterable[str]) -> int:
        """Move the atlas to its place, if all of these files are there; an old one is replaced.

        Returns:
            The bytes of all files.

        Raises:
            RuntimeError: a file is missing, since something else has worked in the folder.
            FileExistsError: somebody has put files of their own into the old atlas.
        """
        lost = [name for name in names if not self.has(name)]
        if lost:
            raise RuntimeError(
                f"{str(self.folder)!r} lacks {counted(len(lost), 'file')}, such as {lost[0]!r}: "
                "does another process make the same atlas? run it again when that is done"
            )
        for part in self.folder.rglob("*.part"):  # of a process that was killed
            part.unlink()
        size = sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())
        check_target(self.target)
        old = _beside(self.target, "old")
        if self.target.exists():
            self.target.rename(old)
        self.folder.rename(self.target)
        shutil.rmtree(old, ignore_errors=True)
        return size


def check_target(target: str | PathLike[str]) -> None:
    """Check that a folder can be made or replaced, before any long work.

    Raises:
        FileExistsError: it holds something that is not a part of an atlas.
    """
    place = Path(os.path.realpath(expanded(target)))
    if not place.exists():
        return
    if not place.is_dir():
        raise FileExistsError(f"{str(place)!r} is a file; give a folder for the atlas")
    for path in place.rglob("*"):
        name = path.relative_to(place).as_posix()
        if not path.is_dir() and not _OURS.fullmatch(name):
            raise FileExistsError(
                f"{str(place)!r} holds {name!r}, which is not a part of an atlas and would be lost;"
                " give another folder, or move the file away"
            )
    if any(place.iterdir()) and not (place / MARK).is_file():
        raise FileExistsError(f"{str(place)!r} is not empty and no atlas; give another folder")


def _restore(place: Path) -> None:
    """Put back an old atlas of a process that was killed between two renames."""
    old = _beside(place, "old")
    if old.is_dir() and not place.exists():
        old.rename(place)
    shutil.rmtree(old, ignore_errors=True)


def _beside(place: Path, what: str) -> Path:
    return place.with_name(f".{place.name}.{what}")
