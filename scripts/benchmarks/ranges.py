"""Rows about mining the lowest images and a sample too: CPU time, and memory of large tables."""

from __future__ import annotations

import tempfile
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn

import deconvnet
from deconvnet import DeconvNet
from scripts.report import number, spread

from . import inputs
from .inputs import Pictures
from .memory import MIB, in_fresh_process, peak_of
from .projections import forward
from .timing import Setup, ratios

WAYS: dict[str, dict[str, Any]] = {
    "k=9": {"k": 9},
    "k=9, lowest=9, sample=256": {"k": 9, "lowest": 9, "sample": 256},
    "the same, rank=mean": {"k": 9, "lowest": 9, "sample": 256, "rank": "mean"},
}
PLAIN, WHOLE, MEAN = WAYS


class Watched(Pictures):
    """Photographs in memory, and the CPU time when the first of them was last asked for."""

    started = 0.0

    def __getitem__(self, index: int) -> Tensor:
        """One image, (3, side, side)."""
        if index == 0:
            self.started = time.process_time()
        return super().__getitem__(index)


@dataclass(frozen=True)
class Ranges:
    """One row: all rectifiers of a network, mined with and without lowest and sample, in turns."""

    network: str  # torchvision's name
    batches: int
    batch: int  # images in each

    columns = {
        "network": lambda f: f["network"],
        "images": lambda f: f"{f['batches']} × {f['batch']}",
        "forward alone, CPU ms an image": lambda f: number(
            1000 * median(f["seconds"]["forward"]) / (f["batches"] * f["batch"])
        ),
        **{way: lambda f, way=way: _over(f, way, "forward") for way in WAYS},
        "with / without": lambda f: _over(f, WHOLE, PLAIN),
        "once, s: without": lambda f: spread(f["once"][PLAIN]),
        "once, s: with": lambda f: spread(f["once"][WHOLE]),
    }

    @property
    def key(self) -> str:
        """The row's name: ``alexnet,mining,ranges``."""
        return f"{self.network},mining,ranges"

    def quick(self) -> Ranges:
        """A smaller row, to see that it runs."""
        return replace(self, batches=2, batch=4)

    def measure(self, setup: Setup) -> dict[str, Any]:
        """CPU seconds of every side and round."""
        model = inputs.network(self.network).to(setup.device)
        return {**asdict(self), **timed(model, Watched(self.batches * self.batch), self, setup)}


def timed(model: nn.Module, dataset: Watched, row: Ranges, setup: Setup) -> dict[str, Any]:
    """Run all sides in turns, once a round; a first round warms up.

    Returns:
        {side: CPU seconds of each round}: "seconds" of all batches, "once" of what no batch takes.

    Raises:
        ValueError: the strongest are not the same with and without the lowest.
    """
    layers = rectifiers(model, dataset)
    batches = [images.to(setup.device) for images in dataset.images.split(row.batch)]
    seconds: dict[str, list[float]] = {side: [] for side in ("forward", *WAYS)}
    once: dict[str, list[float]] = {way: [] for way in WAYS}
    for turn in range(setup.rounds + 1):
        began = time.process_time()
        for images in batches:
            forward(model, images)
        took = {"forward": (time.process_time() - began, 0.0)}
        tables = {}
        for way, options in WAYS.items():
            tables[way], *took[way] = mined(model, dataset, layers, row.batch, options)
        for layer in layers:
            plain, whole = (tables[way][layer].image for way in (PLAIN, WHOLE))
            if (plain != whole).any():
                raise ValueError(f"the strongest of {layer} depend on what else is mined")
        if turn:
            for side, (inside, outside) in took.items():
                seconds[side].append(inside)
                if side in once:
                    once[side].append(outside)
    return {"seconds": seconds, "once": once}


def rectifiers(model: nn.Module, dataset: Pictures) -> list[str]:
    """The names of all ReLUs."""
    net = DeconvNet(model, "identity", input_size=tuple(dataset[0].shape))
    return [name for name, layer in net.layers.items() if layer.kind == "ReLU"]


def mined(
    model: nn.Module, dataset: Watched, layers: list[str], batch: int, options: dict[str, Any]
) -> tuple[Any, float, float]:
    """Our store; the CPU seconds of all batches, and of the rest of the call."""
    ends: list[float] = []
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        store = deconvnet.mine(
            model, dataset, Path(folder) / "top9.h5", layers, batch_size=batch, check=False,
            report=lambda done, total: ends.append(time.process_time()), **options,
        )  # fmt: skip
    inside = ends[-1] - dataset.started
    return store, inside, time.process_time() - began - inside


def _over(figures: dict[str, Any], side: str, other: str) -> str:
    return spread(ratios(figures["seconds"][side], figures["seconds"][other]))


@dataclass(frozen=True)
class Deep:
    """One row: the peak memory that mining adds to the model, for many images a channel."""

    network: str
    k: int
    lowest: int = 0
    sample: int = 0
    images: int = 64
    batch: int = 8

    columns = {
        "network": lambda f: f["network"],
        "k, lowest, sample": lambda f: f"{f['k']:,}, {f['lowest']:,}, {f['sample']:,}",
        "images a batch": lambda f: str(f["batch"]),
        "peak MiB beside the model": lambda f: number(f["peak"] / MIB),
    }

    @property
    def key(self) -> str:
        """The row's name: ``vgg16,mining,memory,1000,0,0``, with k, lowest and sample."""
        return f"{self.network},mining,memory,{self.k},{self.lowest},{self.sample}"

    def quick(self) -> Deep:
        """A smaller row, to see that it runs."""
        return replace(self, images=self.batch)

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Bytes at the peak."""
        return {**asdict(self), **in_fresh_process(peak_of_mining, self, setup)}


def peak_of_mining(row: Deep, setup: Setup) -> dict[str, int]:
    """What a process of its own does: mine once."""
    torch.set_num_threads(setup.threads)
    model = inputs.network(row.network).to(setup.device)
    dataset = Watched(row.images)
    layers = rectifiers(model, dataset)
    options = {"k": row.k, "lowest": row.lowest, "sample": row.sample}
    return peak_of(lambda: mined(model, dataset, layers, row.batch, options), setup.device)
