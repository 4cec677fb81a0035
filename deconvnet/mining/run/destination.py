"""The file at the path of a store to be written: what it is, and whether it may be replaced."""

from __future__ import annotations

import os
from os import fspath
from pathlib import Path

from deconvnet.store.store import Store, open_store
from deconvnet.store.user_content import additions

_SHOWN = 5  # names of what was added


def stamp(path: Path) -> str:
    """Size, time and inode of the file, which tell whether it is still the same; "" for none."""
    try:
        status = os.stat(path)
    except OSError:  # what is wrong with the path, `check_writable` says
        return ""
    return f"{status.st_size} bytes, {status.st_mtime_ns} ns, {status.st_ino}"


def store_at(path: Path) -> Store | str | None:
    """The store at a path; as text, why the file there is no store; None if there is no file."""
    if not os.path.isfile(path):  # what else it is, `check_writable` says
        return None
    try:
        return open_store(path)
    except FileNotFoundError:
        return None
    except (ValueError, OSError) as error:
        return f"something else ({error})"


def check_additions(path: Path) -> None:
    """Refuse to replace a store that a user has added groups, datasets or links to."""
    added = additions(path) if isinstance(store_at(path), Store) else []
    if added:
        more = f" and {len(added) - _SHOWN} more" if len(added) > _SHOWN else ""
        raise ValueError(
            f"{fspath(path)!r} is to be replaced, and holds {', '.join(added[:_SHOWN])}{more}, "
            "which somebody has added to it; move the file away, or allow that they are lost: "
            "discard_groups=True, on the command line --discard-groups"
        )
