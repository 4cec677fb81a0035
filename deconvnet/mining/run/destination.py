"""The file that a mining run is to write: what stands there already, and whether it may go."""

from __future__ import annotations

import hashlib
import os
from os import PathLike, fspath
from pathlib import Path

from deconvnet.store.format import COLUMNS, COUNTERS
from deconvnet.store.store import Store, open_store
from deconvnet.store.user_content import additions

from .request import MEANT, Request, differences

_SHOWN = 5  # names of what was added


class Target:
    """Where the store is to be.

    Args:
        path: the file.
    """

    def __init__(self, path: str | PathLike[str]) -> None:
        self.path = Path(path)

    def stamp(self) -> str:
        """Which file stands there, as the file system tells; empty if there is none."""
        try:
            found = os.stat(self.path)
        except OSError:  # what is wrong with the path, `check_writable` says
            return ""
        return f"{found.st_size} bytes, {found.st_mtime_ns} ns, {found.st_ino}"

    def mark(self) -> str:
        """What stands there, so that it is known again; empty if there is nothing.

        A store is known by its attributes and tables: it may be copied, and pictures put into it.
        """
        stamp = self.stamp()
        if not stamp or not os.path.isfile(self.path):
            return stamp
        try:
            store = open_store(self.path)
        except (ValueError, OSError):
            return stamp
        digest = hashlib.sha256(repr(sorted(store.attributes.items())).encode("utf-8", "replace"))
        for name, table in store.items():
            digest.update(repr(name).encode("utf-8", "replace"))
            for column in (*COLUMNS, *COUNTERS):
                digest.update(getattr(table, column).tobytes())
        return f"store {digest.hexdigest()}"

    def read(self, request: Request) -> tuple[Store | None, str]:
        """The store if it is there and of this run; else what stands there instead, or nothing."""
        if not os.path.isfile(self.path):  # what else it is, `check_writable` says
            return None, ""
        try:
            store = open_store(self.path)
        except FileNotFoundError:
            return None, ""
        except (ValueError, OSError) as error:
            return None, f"something else ({error})"
        other = difference(request, store)
        return (None, other) if other else (store, "")

    def check_additions(self) -> None:
        """Refuse to replace a store that holds what a user has added to it.

        Raises:
            ValueError: it does; the message names it.
        """
        if not os.path.isfile(self.path):
            return
        try:
            open_store(self.path)
            found = additions(self.path)
        except (ValueError, OSError):  # no store; what becomes of it is asked elsewhere
            return
        if found:
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise ValueError(
                f"{fspath(self.path)!r} is to be replaced, and holds {', '.join(found[:_SHOWN])}"
                f"{more}, which somebody has added to it; move the file away, or lose them: "
                "discard_groups=True, on the command line --discard-groups"
            )

    def check_is_store(self) -> None:
        """Refuse to replace what is no store without being told to.

        Raises:
            ValueError: something else stands there.
        """
        if not os.path.isfile(self.path):
            return
        try:
            open_store(self.path)
        except FileNotFoundError:
            return
        except (ValueError, OSError) as error:
            raise ValueError(
                f"{fspath(self.path)!r} is there already and holds something else ({error}); "
                "write to another file, or replace it: resume=False"
            ) from error


def difference(request: Request, store: Store) -> str:
    """How a store differs from what is asked for; empty if it does not."""
    attributes = {"nan_policy": request.attributes["nan_policy"], **store.attributes}
    seen, failed = attributes.get("images_seen"), attributes.get("images_failed")
    images = seen + failed if isinstance(seen, int) and isinstance(failed, int) else None
    theirs = {**attributes, "images": images, "layers": list(store.layers)}
    return next(differences(request.claims(), theirs, MEANT), "")
