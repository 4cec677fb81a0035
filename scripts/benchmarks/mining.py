"""Rows about mining: what it costs beside a bare forward loop, a plain script and zennit-crp."""

from __future__ import annotations

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor, nn
from torch.utils.benchmark import timer
from torch.utils.data import DataLoader

import deconvnet
from deconvnet import DeconvNet, Store
from scripts.report import number, spread

from . import inputs, mining_peers
from .inputs import Pictures
from .projections import forward
from .timing import Setup, ratios

K = 9
SIDES = ("forward", "loader", "plain", "ours")


def _over(side: str, seconds: str = "seconds") -> Callable[[dict[str, Any]], str]:
    """A side's time in units of the bare forward loop's, round by round."""

    def shown(figures: dict[str, Any]) -> str:
        if side not in figures[seconds]:
            return "not installed"
        return spread(ratios(figures[seconds][side], figures[seconds]["forward"]))

    return shown


@dataclass(frozen=True)
class Mining:
    """One row: all rectifiers of a network mined over photographs that lie in memory."""

    network: str  # torchvision's name
    batches: int
    batch: int  # images in each

    columns = {
        "network": lambda f: f["network"],
        "layers (channels)": lambda f: f"{f['layers']} ({f['channels']})",
        "images": lambda f: f"{f['batches']} × {f['batch']}",
        "forward alone, ms an image": lambda f: number(
            1000 * median(f["seconds"]["forward"]) / (f["batches"] * f["batch"])
        ),
        "with a DataLoader": _over("loader"),
        "plain script": _over("plain"),
        "deconvnet": _over("ours"),
        "second half": _over("ours", "late"),
        "zennit-crp": _over("zennit-crp"),
        "once, s": lambda f: spread(f["once"]),
    }

    @property
    def key(self) -> str:
        """The row's name: ``alexnet,mining``."""
        return f"{self.network},mining"

    def quick(self) -> Mining:
        """A smaller row, to see that it runs."""
        return replace(self, batches=2, batch=4)

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Mine the network and run the other sides, in turns."""
        model = inputs.network(self.network).to(setup.device)
        return {**asdict(self), **timed(model, Watched(self.batches * self.batch), self, setup)}


class Watched(Pictures):
    """Photographs in memory, and when the first of them was last asked for: mining starts there."""

    def __init__(self, count: int, *, side: int = inputs.SIDE) -> None:
        super().__init__(count, side=side)
        self.started = 0.0

    def __getitem__(self, index: int) -> Tensor:
        """One image, (3, side, side)."""
        if index == 0:
            self.started = timer()
        return super().__getitem__(index)


def timed(model: nn.Module, dataset: Watched, row: Mining, setup: Setup) -> dict[str, Any]:
    """Run all sides in turns, once a round; a first round warms up and compares the activations.

    Returns:
        "layers", "channels"; {side: seconds of each round}: "seconds" of all batches and "late" of
        their second half; "once": seconds of a mining call that no batch takes.

    Raises:
        ValueError: the strongest activations differ, or mining did not report each batch.
    """
    net = DeconvNet(model, "identity", input_size=tuple(dataset[0].shape))
    layers = [name for name, layer in net.layers.items() if layer.kind == "ReLU"]
    batches = [images.to(setup.device) for images in dataset.images.split(row.batch)]
    loader = DataLoader(dataset.images, batch_size=row.batch)
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    late: dict[str, list[float]] = {side: [] for side in SIDES}
    once = []
    for turn in range(setup.rounds + 1):
        plain = mining_peers.Plain(model, layers, K)
        loops = {
            "forward": (batches, lambda images: forward(model, images)),
            "loader": (loader, lambda images: forward(model, images.to(setup.device))),
            "plain": (batches, plain.take),
        }
        stamps = {side: _looped(*loop) for side, loop in loops.items()}
        started = timer()
        store, stamps["ours"] = mined(model, dataset, layers, row.batch)
        whole = timer() - started
        if turn == 0:
            values = {layer: table[0] for layer, table in plain.tables.items()}
            mining_peers.same_values(store, values, "a plain script")
            continue
        for side, (first, *ends) in stamps.items():
            seconds[side].append(ends[-1] - first)
            late[side].append(ends[-1] - ends[(len(ends) - 1) // 2])
        once.append(whole - seconds["ours"][-1])
    if mining_peers.CRP in mining_peers.installed():
        seconds[mining_peers.CRP] = []
        for _ in range(setup.rounds):
            took, values = mining_peers.crp(model, dataset.images, layers, batch=row.batch)
            mining_peers.same_values(store, values, mining_peers.CRP)
            seconds[mining_peers.CRP].append(took)
    channels = sum(store[layer].channels for layer in layers)
    counts = {"layers": len(layers), "channels": channels}
    return {**counts, "seconds": seconds, "late": late, "once": once}


def _looped(batches: Any, work: Callable[[Tensor], object]) -> list[float]:
    """When a loop began, and when each batch was done."""
    stamps = [timer()]
    for images in batches:
        work(images)
        stamps.append(timer())
    return stamps


def mined(
    model: nn.Module, dataset: Watched, layers: Sequence[str], batch: int
) -> tuple[Store, list[float]]:
    """Our store; when its first image was read, and when each batch was reported."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        store = deconvnet.mine(
            model, dataset, Path(folder) / "top9.h5", layers, K, batch, check=False,
            report=lambda done, total: ends.append(timer()),
        )  # fmt: skip
    if len(ends) != len(dataset) / batch:
        raise ValueError(
            f"mining reported {len(ends)} batches, expected {len(dataset) / batch:g}: the time of "
            "a batch is not known; report= must be called after every one"
        )
    return store, [dataset.started, *ends]
