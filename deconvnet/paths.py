"""Paths as a user writes them."""

from __future__ import annotations

import os
from os import PathLike


def expanded(path: str | PathLike[str]) -> str:
    """The path as text, with ``~`` and ``~user`` at its start replaced by that home folder."""
    return os.path.expanduser(os.fspath(path))
