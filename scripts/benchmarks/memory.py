"""The peak memory of a call, measured in a fresh process; and many units in one call."""

from __future__ import annotations

import resource
import sys
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, replace
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from deconvnet import DeconvNet, Projection, Unit
from scripts.report import number

from . import inputs, peers
from .timing import Setup

STATUS = Path("/proc/self/status")
RESET = Path("/proc/self/clear_refs")
MIB = 2**20


def in_fresh_process(work: Callable[..., Any], *arguments: Any) -> Any:
    """Call a function of a module in a new process and return its result.

    Raises:
        RuntimeError: the call failed or the process was killed.
    """
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        try:
            return pool.submit(work, *arguments).result()
        except Exception as error:
            raise RuntimeError(f"the memory was not measured: {error!r}") from error


def peak_of(work: Callable[[], object], device: str = "cpu") -> dict[str, int]:
    """Bytes that a call adds at its peak to what was in use before, its results included.

    Returns:
        "peak", and "results": what the returned tensors keep in use.
    """
    if device.startswith("cuda"):
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        result = work()
        torch.cuda.synchronize()
        peak = torch.cuda.max_memory_allocated() - before
    else:
        if RESET.exists():
            RESET.write_text("5")  # the peak falls to what is resident now (proc(5))
        before = _resident_peak()
        result = work()
        peak = _resident_peak() - before
    return {"peak": peak, "results": _bytes(result)}


def _resident_peak() -> int:
    """The most memory that this process has used, in bytes.

    Linux is asked in /proc: its ``ru_maxrss`` also counts what the parent used at the start.
    """
    if STATUS.is_file():
        line = next(x for x in STATUS.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _bytes(result: object) -> int:
    """Bytes of a result's tensors, each storage once, whole."""
    parts = result if isinstance(result, list) else [result]
    tensors = [part.pixels if isinstance(part, Projection) else part for part in parts]
    storages = [t.untyped_storage() for t in tensors if isinstance(t, Tensor)]
    return sum({s.data_ptr(): s.nbytes() for s in storages}.values())


@dataclass(frozen=True)
class ManyUnits:
    """One row: the peak of one call for many units of AlexNet's conv3 on the same images."""

    count: int  # units, spread over the images
    images: int = 10
    network: str = "alexnet"
    layer: str = "features.7"
    rule: str = "deconvnet"

    columns = {
        "units in one call": lambda f: f"{f['count']:,}",
        "peak MiB": lambda f: number(f["peak"] / MIB),
        "of which results": lambda f: number(f["results"] / MIB),
    }

    @property
    def key(self) -> str:
        """The row's name: ``alexnet,memory,100``."""
        return f"{self.network},memory,{self.count}"

    def quick(self) -> ManyUnits:
        """A smaller row, to see that it runs."""
        return replace(self, count=self.count // 10)

    def units(self, channels: int = 256, size: int = 13) -> list[Unit]:
        """Different units of the layer, image by image in turn."""
        return [
            Unit(self.layer, i // 10 % channels, i * 7 % size, i * 5 % size, i % self.images)
            for i in range(self.count)
        ]

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Bytes at the peak, and of the results."""
        arguments = (self, self.images, self.units(), "ours", setup)
        return {**asdict(self), **in_fresh_process(peak_of_projection, *arguments)}


def peak_of_projection(
    row: Any, images: int, units: list[Unit], side: str, setup: Setup
) -> dict[str, int]:
    """What a process of its own does: project units once, by "ours" or by "captum"."""
    torch.set_num_threads(setup.threads)
    model = inputs.network(row.network, setup.weights_of(row.network)).to(setup.device)
    pictures = inputs.pictures(images).to(setup.device)
    if side == "captum":
        return peak_of(lambda: peers.captum(row, model, pictures, units), setup.device)
    net = DeconvNet(model, row.rule, check=False)  # its check runs once in a process, not a call
    return peak_of(lambda: peers.ours(net, pictures, units), setup.device)
