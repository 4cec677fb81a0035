"""How many threads and readers a run may use: no more than a container's quota of CPU time.

PyTorch takes as many threads as there are processors. A container that may use the time of two of
64 processors gives 64 threads two processors' time: they wait for each other at the end of every
operation, and the kernel stops all of them for the rest of each period.
"""

from __future__ import annotations

import math
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path, PurePosixPath

import torch

_GROUPS = "sys/fs/cgroup"


def usable_threads(root: Path = Path("/")) -> int:
    """PyTorch's number of threads, at most the processors whose time this container may use.

    Args:
        root: of the file system.
    """
    return min(torch.get_num_threads(), _allowed(root) or sys.maxsize)


def usable_processors(root: Path = Path("/")) -> int:
    """The processors this process may run on, at most those whose time its container may use."""
    able = hasattr(os, "sched_getaffinity")
    count = len(os.sched_getaffinity(0)) if able else os.cpu_count() or 1
    return min(count, _allowed(root) or count)


def warn_of_readers(workers: int, root: Path = Path("/")) -> None:
    """Warn if more processes shall read than a container's quota lets run at a time.

    PyTorch warns of more than there are processors, and knows nothing of quotas.
    """
    allowed = _allowed(root)
    if allowed is not None and workers > allowed:
        warnings.warn(
            f"workers={workers} processes are to read images, and this container may use the time "
            f"of {quota(root):g} processors: more readers are no faster, and slow the model down; "
            f"give at most workers={allowed}",
            stacklevel=2,
        )


def _allowed(root: Path) -> int | None:
    """Whole processors of the quota; None for all."""
    limit = quota(root)
    return None if limit is None else max(1, math.ceil(limit))


def quota(root: Path = Path("/")) -> float | None:
    """Processors whose time the control groups of this process allow; None for all.

    The smallest limit of a group and of those around it: ``cpu.max`` of version 2 ("150000 100000"
    is 1.5 processors, "max" is no limit), ``cpu.cfs_quota_us`` and ``cpu.cfs_period_us`` of
    version 1 (-1 is no limit).

    Args:
        root: of the file system.
    """
    limits = [_limit(numbers) for folder in _folders(root) for numbers in _numbers(folder)]
    return min((limit for limit in limits if limit is not None), default=None)


def _folders(root: Path) -> Iterator[Path]:
    """The folders of this process's groups for CPU time, and of the groups around them.

    A container may see its own group as the root, and not the path that is told of it.
    """
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            mounts = [root / _GROUPS, root / _GROUPS / "unified"]
        elif "cpu" in controllers.split(","):
            mounts = [root / _GROUPS / name for name in (controllers, "cpu")]
        else:
            continue
        inside = PurePosixPath(path.strip("/"))
        for mount in mounts:
            yield from (mount / group for group in (inside, *inside.parents))


def _numbers(folder: Path) -> Iterator[list[str]]:
    """Quota and period as a group's files have them."""
    yield _read(folder / "cpu.max").split()
    yield [_read(folder / f"cpu.cfs_{name}_us").strip() for name in ("quota", "period")]


def _limit(numbers: list[str]) -> float | None:
    with suppress(ValueError):
        time, period = map(float, numbers)
        return time / period if time > 0 and period > 0 else None
    return None


def _read(file: Path) -> str:
    """The text of a file; empty where there is none to be read."""
    with suppress(OSError, UnicodeDecodeError):
        return file.read_text()
    return ""
