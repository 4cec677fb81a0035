"""Deterministic assignment of microbatches to shards, and of shards and GPUs to processes."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

_LONGEST = 16  # microbatches in a block: neighbouring images are read from the disk together
_BLOCKS = 64  # blocks a process, where there are enough microbatches: shares of about one size


@dataclass(frozen=True)
class Shard:
    """One of several processes that divide a data set among them."""

    index: int = 0
    count: int = 1
    origin: str = ""  # the option or variable that says so, for messages

    def __post_init__(self) -> None:
        if not 0 <= self.index < self.count:
            last = max(self.count, 1)
            raise ValueError(
                f"shard {self.index}/{self.count} was given{self.origin and f' by {self.origin}'}; "
                f"shards are numbered from 0/{last} to {last - 1}/{last}"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"

    def microbatches(self, total: int) -> list[int]:
        """The microbatches, of 0 … total - 1, that this process runs; ascending.

        Every microbatch belongs to one shard, by ``total``, index and count alone. What is done
        already must not matter: processes that start at different times would see different
        things, and between them leave a block undone. The order in which blocks are dealt out
        depends on the count, so that what one lost process left undone is spread over all
        processes of a restart with another count.
        """
        length = max(1, min(_LONGEST, total // (_BLOCKS * self.count)))
        blocks = sorted(range(-(-total // length)), key=self._place)
        own = sorted(blocks[self.index :: self.count])
        return [n for block in own for n in range(block * length, min((block + 1) * length, total))]

    def _place(self, block: int) -> bytes:
        """Where a block stands in the order; Python's own random numbers may change with it."""
        return hashlib.sha256(f"{block} of {self.count}".encode()).digest()


def parse(text: str) -> Shard:
    """Read a shard as it is typed: "0/4" … "3/4"."""
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"the shard {text!r} was given, expected INDEX/COUNT, such as 0/4")
    return Shard(int(index), int(count), "--shard")


def of_environment(environment: Mapping[str, str]) -> Shard:
    """The shard of this process by the variables of torchrun or SLURM; 0/1 where none are set.

    torchrun counts processes by RANK and WORLD_SIZE, srun by SLURM_PROCID and
    SLURM_STEP_NUM_TASKS. The tasks of a SLURM array are shards too; where each of them starts
    several processes, all processes of all tasks are.
    """
    outer = _array(environment)
    inner = _ranked(environment, "RANK", "WORLD_SIZE")
    if inner.count == 1:
        inner = _ranked(environment, "SLURM_PROCID", "SLURM_STEP_NUM_TASKS")
    return Shard(
        outer.index * inner.count + inner.index,
        outer.count * inner.count,
        " and ".join(one.origin for one in (outer, inner) if one.count > 1),
    )


def local_rank(environment: Mapping[str, str]) -> int | None:
    """The number of this process on its machine; None if no variable says it."""
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        if environment.get(name):
            return _integer(environment, name)
    return None


def gpu(environment: Mapping[str, str], count: int) -> str:
    """The GPU of this process, of ``count`` visible ones: each local rank takes its own."""
    rank = local_rank(environment)
    return "cuda" if rank is None or count < 2 else f"cuda:{rank % count}"


def _array(environment: Mapping[str, str]) -> Shard:
    """The shard of a task of a SLURM array; its numbers start and step as the user said."""
    count = _integer(environment, "SLURM_ARRAY_TASK_COUNT", 1)
    if count == 1:
        return Shard()
    task = _integer(environment, "SLURM_ARRAY_TASK_ID")
    first = _integer(environment, "SLURM_ARRAY_TASK_MIN", 0)
    step = _integer(environment, "SLURM_ARRAY_TASK_STEP", 1)
    index, rest = divmod(task - first, max(step, 1))
    if rest or not 0 <= index < count:
        raise ValueError(
            f"task {task} of a SLURM array of {count} tasks from {first} was given, which has "
            "gaps; number them without, such as --array=0-3, or say which shard it is with --shard"
        )
    return Shard(index, count, "SLURM_ARRAY_TASK_ID")


def _ranked(environment: Mapping[str, str], index: str, count: str) -> Shard:
    size = _integer(environment, count, 1)
    return Shard() if size == 1 else Shard(_integer(environment, index), size, index)


def _integer(environment: Mapping[str, str], name: str, default: int | None = None) -> int:
    text = environment.get(name, "")
    if not text and default is not None:
        return default
    if not text.isdecimal():
        raise ValueError(f"{name}={text!r} stands in the environment, expected an integer")
    return int(text)
