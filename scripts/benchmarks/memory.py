"""How much memory a call takes at its peak, measured in a process of its own.

The process is told on standard input what to do and answers on standard output, both in JSON.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deconvnet import DeconvNet, Projection, Unit

from . import cases, runners
from .cases import Case

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
MANY = Case("alexnet", "features.7", "deconvnet", "b", channels=10, images=10)


def resident_peak() -> int:
    """The most memory that this process has had, in bytes.

    Linux counts into ``ru_maxrss`` what the parent had when it started this process, so that the
    peak of the child of a large process would never show; the kernel's own mark is asked instead.
    """
    if STATUS.is_file():
        line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def peak_of(work: Callable[[], object], device: str = "cpu") -> tuple[int, object]:
    """Bytes that a call adds at its peak to what was there before, and what it returned."""
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = work()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before, result
    if RESET.exists():
        RESET.write_text("5")  # the mark falls to what is resident now (proc(5))
    before = resident_peak()
    result = work()
    return resident_peak() - before, result


def weigh(result: object) -> int:
    """Bytes of a result's tensors, each storage once, as large as it is."""
    parts = result if isinstance(result, list) else [result]
    tensors = [part.pixels if isinstance(part, Projection) else part for part in parts]
    storages = [t.untyped_storage() for t in tensors if isinstance(t, Tensor)]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


def measured(
    case: Case, units: Sequence[Unit], *, side: str, device: str = "cpu", threads: int = 1
) -> dict[str, int]:
    """The peak of one side of a row, in a fresh process.

    Args:
        case: the row.
        units: of its images.
        side: "ours" or "captum".
        device: "cpu" or "cuda".
        threads: that the process may use.

    Returns:
        "peak" and "results", in bytes; the peak holds the results.

    Raises:
        RuntimeError: the process failed; its last words are in the message.
    """
    task: dict[str, Any] = {
        "case": asdict(case),
        "units": [(u.channel, u.row, u.col, u.image) for u in units],
        "side": side,
        "device": device,
        "threads": threads,
    }
    done = subprocess.run(
        [sys.executable, "-m", "scripts.benchmarks.memory"],
        input=json.dumps(task),
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if done.returncode:
        last = done.stderr.strip().splitlines()[-1:] or [f"exit status {done.returncode}"]
        raise RuntimeError(f"{case.key}: the memory of {side} was not measured: {last[0]}")
    found: dict[str, int] = json.loads(done.stdout)
    return found


def spread_units(count: int, channels: int = 256, size: int = 13) -> list[Unit]:
    """So many different units of ``MANY``'s layer on its images, in turn."""
    return [
        Unit(MANY.layer, i // 10 % channels, i * 7 % size, i * 5 % size, i % MANY.distinct)
        for i in range(count)
    ]


def of_many(
    counts: Sequence[int], *, device: str = "cpu", threads: int = 1
) -> dict[int, dict[str, int]]:
    """{count: "peak" and "results" in bytes} of so many units in one call, on the same images."""
    return {
        count: measured(MANY, spread_units(count), side="ours", device=device, threads=threads)
        for count in counts
    }


def _child(task: dict[str, Any]) -> dict[str, int]:
    case, device = Case(**task["case"]), task["device"]
    torch.set_num_threads(task["threads"])
    model = cases.network(case.network, case.weights).to(device)
    images = cases.pictures(case.distinct).to(device)
    units = [Unit(case.layer, c, row, col, image) for c, row, col, image in task["units"]]
    if task["side"] == "ours":
        net = DeconvNet(model, case.rule, check=False)  # the check is paid for once
        peak, result = peak_of(lambda: runners.ours(net, images, units), device)
    else:
        peak, result = peak_of(lambda: runners.captum_of(case, model, images, units), device)
    return {"peak": peak, "results": weigh(result)}


if __name__ == "__main__":
    print(json.dumps(_child(json.load(sys.stdin))))
