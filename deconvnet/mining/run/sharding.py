"""Which of several processes this one is, and which GPU it takes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Shard:
    """One of several processes that share out a data set.

    Args:
        index: 0 … count - 1.
        count: how many they are.
        origin: who said so, for the person at the terminal.
    """

    index: int = 0
    count: int = 1
    origin: str = ""

    def __post_init__(self) -> None:
        """Refuse a shard that is none.

        Raises:
            ValueError: the index is not in 0 … count - 1.
        """
        if not 0 <= self.index < self.count:
            last = max(self.count, 1)
            raise ValueError(
                f"shard {self.index}/{self.count} was given{self.origin and f' by {self.origin}'}; "
                f"shards are numbered from 0/{last} to {last - 1}/{last}"
            )

    def __str__(self) -> str:
        return f"{self.index}/{self.count}"


def parse(text: str) -> Shard:
    """A shard as it is typed: "0/4" … "3/4".

    Raises:
        ValueError: it is not two integers with a slash, or out of range.
    """
    index, _, count = text.partition("/")
    if not (index.isdecimal() and count.isdecimal()):
        raise ValueError(f"the shard {text!r} was given, expected INDEX/COUNT, such as 0/4")
    return Shard(int(index), int(count), "--shard")


def of_environment(environment: Mapping[str, str]) -> Shard:
    """The shard that torchrun or SLURM say this process is; 0/1 where neither does.

    torchrun counts processes by RANK and WORLD_SIZE, srun by SLURM_PROCID and
    SLURM_STEP_NUM_TASKS. The tasks of a SLURM array share the data set out too, and so do all
    processes of all tasks where a task starts several.

    Raises:
        ValueError: a variable that should hold an integer does not.
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
    """Which of the processes of this machine this one is; None if nobody says."""
    for name in ("LOCAL_RANK", "SLURM_LOCALID"):
        if environment.get(name):
            return _integer(environment, name)
    return None


def gpu(environment: Mapping[str, str], count: int) -> str:
    """The GPU of this process, of so many that it sees: each local rank takes its own."""
    rank = local_rank(environment)
    return "cuda" if rank is None or count < 2 else f"cuda:{rank % count}"


def _array(environment: Mapping[str, str]) -> Shard:
    """SLURM numbers tasks as the user said, from any number by any step."""
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
