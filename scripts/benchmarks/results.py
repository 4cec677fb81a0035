"""What was measured, on which machine, kept in a file that further runs add to."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch

import deconvnet
from deconvnet.atomic import write_whole

from .cases import Case
from .mining import Mining
from .rows import Row

PEERS = ("captum", "zennit-crp")
CPUINFO = Path("/proc/cpuinfo")


@dataclass(frozen=True)
class Machine:
    """Where it was measured, and with what.

    Args:
        device: "cpu" or "cuda".
        processor: its name.
        threads: that torch used.
        versions: {distribution: version}.
    """

    device: str
    processor: str
    threads: int
    versions: dict[str, str]

    def __str__(self) -> str:
        cores = f", {self.threads} thread{'s' * (self.threads != 1)}"
        made = ", ".join(f"{name} {n}" for name, n in self.versions.items())
        return f"{self.processor}{cores}; {made}"


@dataclass
class Results:
    """All figures of one machine.

    Args:
        machine: which.
        rows: {key: case and row} of the first table.
        mining: {key: row} of the second.
        memory: {units: {"peak": bytes, "results": bytes}} of many units in one call.
    """

    machine: Machine
    rows: dict[str, tuple[Case, Row]] = field(default_factory=dict)
    mining: dict[str, Mining] = field(default_factory=dict)
    memory: dict[int, dict[str, int]] = field(default_factory=dict)

    def save(self, path: str | Path) -> None:
        """Write all of it as JSON, whole or not at all."""
        plain = {
            "machine": asdict(self.machine),
            "rows": {
                key: {"case": asdict(case), "row": row.as_json()}
                for key, (case, row) in self.rows.items()
            },
            "mining": {key: row.as_json() for key, row in self.mining.items()},
            "memory": self.memory,
        }
        write_whole(path, f"{json.dumps(plain, indent=1)}\n".encode())


def results(machine: Machine, path: str | Path | None) -> Results:
    """What a file holds already; nothing if there is none.

    Raises:
        ValueError: it was measured elsewhere, or with other versions; or it is another file.
    """
    if path is None or not Path(path).exists():
        return Results(machine)
    try:
        found = json.loads(Path(path).read_text(encoding="utf-8"))
        there = Machine(**found["machine"])
        kept = Results(
            there,
            {k: (Case(**r["case"]), Row(**r["row"])) for k, r in found["rows"].items()},
            {k: Mining(**r) for k, r in found["mining"].items()},
            {int(count): told for count, told in found["memory"].items()},
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(
            f"{path} holds no figures of this benchmark ({type(error).__name__}: {error}); give "
            "a file that this script wrote, or one that does not exist yet"
        ) from error
    if there != machine:
        raise ValueError(
            f"{path} was measured on {there}; here it is {machine}: figures of two machines do "
            "not belong in one table, give another file"
        )
    return kept


def this_machine(device: str, threads: int) -> Machine:
    """The one this runs on."""
    on_gpu = device.startswith("cuda")
    processor = torch.cuda.get_device_name(device) if on_gpu else _processor()
    return Machine(device, processor, threads, versions())


def _processor() -> str:
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def cores() -> int:
    """How many this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def versions() -> dict[str, str]:
    """Of the toolkits and of what they stand on; those that are not installed are left out."""
    found = {"deconvnet": deconvnet.__version__}
    for name in (*PEERS, "torch", "torchvision"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return {**found, "Python": platform.python_version()}
