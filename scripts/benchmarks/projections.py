"""Rows about projections: the same units on the same images by captum and by this toolkit."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from deconvnet import DeconvNet, Unit
from deconvnet.projection.check.checked_graphs import judge
from scripts.report import number, spread

from . import inputs, memory, peers
from .memory import MIB
from .timing import Setup, interleaved, ratios

CHUNK = 8  # images recorded at once while units are chosen


def _milliseconds(figures: dict[str, Any], side: str) -> str:
    return number(1000 * median(figures["seconds"][side]) / figures["units"])


def _rate(figures: dict[str, Any]) -> str:
    share = figures["multiply_adds"]["taken"] / figures["forwarded"]
    seconds = figures["seconds"]
    return spread([share * ratio for ratio in ratios(seconds["forward"], seconds["ours"])])


def _one(figures: dict[str, Any]) -> str:
    seconds = figures["seconds"]
    if "one" not in seconds:  # of a file that was kept before this column was there
        return "–"
    return spread(ratios(seconds["one"], seconds["forward of one"]))


def _difference(figures: dict[str, Any]) -> str:
    shown = f"{figures['error']:.0e}" if figures["error"] else "0"
    tied = f"; {figures['tied']} tied, {figures['exact']:.0e}"
    return shown + tied * bool(figures["tied"])


def _network(figures: dict[str, Any]) -> str:
    trained = f" with {Path(figures['weights']).name}" if figures["weights"] else ""
    return figures["network"] + trained


@dataclass(frozen=True)
class Projections:
    """One row: the strongest positions of some channels in some images, projected."""

    network: str  # torchvision's name
    layer: str  # node name of a rectifier
    rule: str = "deconvnet"  # or "guided"
    share: str = "a"  # each channel has images of its own, or "b": all channels share them
    channels: int = 8
    images: int = 9  # for each channel
    other_module: str = ""  # with the layer's value, where it is not called like the layer

    columns = {
        "network": _network,
        "layer": lambda f: f["layer"],
        "units": lambda f: f"{f['units']} on {f['distinct']} images",
        "rule": lambda f: f["rule"],
        "times faster": lambda f: spread(ratios(f["seconds"]["captum"], f["seconds"]["ours"])),
        "ms a unit: deconvnet": lambda f: _milliseconds(f, "ours"),
        "ms a unit: captum": lambda f: _milliseconds(f, "captum"),
        "multiply-adds/s (forward = 1)": _rate,
        "peak MiB: deconvnet": lambda f: number(f["peaks"]["ours"] / MIB),
        "peak MiB: captum": lambda f: number(f["peaks"]["captum"] / MIB),
        "difference": _difference,
        "strategy": lambda f: f["strategy"],
        "check once, s": lambda f: number(f["check"]),
        "one unit of one image / one forward": _one,
    }

    @property
    def key(self) -> str:
        """The row's name: ``vgg16,features.22,guided,a``."""
        return ",".join((self.network, self.layer, self.rule, self.share))

    @property
    def module(self) -> str:
        """Name of the module whose output is the layer's value, for toolkits that want one."""
        return self.other_module or self.layer

    @property
    def distinct(self) -> int:
        """How many images there are in all."""
        return self.images * (self.channels if self.share == "a" else 1)

    def quick(self) -> Projections:
        """A smaller row, to see that it runs."""
        return replace(self, channels=2, images=2)

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Compare the maps, then time both toolkits and a plain forward pass, then the memory.

        Raises:
            ValueError: the maps differ.
        """
        weights = setup.weights_of(self.network)
        model = inputs.network(self.network, weights).to(setup.device)
        images = inputs.pictures(self.distinct).to(setup.device)
        units = self.units(model, images)
        differences = peers.compare(self, model, images, units=units)
        net, few = DeconvNet(model, self.rule), images[: peers.TOGETHER]
        alone, single = images[units[0].image : units[0].image + 1], [replace(units[0], image=0)]
        check = interleaved({"check": lambda: judge(net.graph, images, gradient=True)}, 1)
        seconds = interleaved(
            {
                "ours": lambda: peers.ours(net, images, units),
                "captum": lambda: peers.captum(self, model, images, units),
                "forward": lambda: forward(model, few),
                "one": lambda: peers.ours(net, alone, single),
                "forward of one": lambda: forward(model, alone),
            },
            setup.rounds,
        )
        peaks = {
            side: memory.in_fresh_process(
                memory.peak_of_projection, self, self.distinct, units, side, setup
            )["peak"]
            for side in ("ours", "captum")
        }
        plan = net.plan(images, units)
        return {
            **asdict(self),
            "weights": weights,
            "units": len(units),
            "distinct": len(images),
            **differences,
            "seconds": seconds,
            "check": check["check"][0],
            "forwarded": multiply_adds(model, few),
            "strategy": plan.strategy,
            "multiply_adds": dict(plan.multiply_adds),
            "peaks": peaks,
        }

    def units(self, model: nn.Module, images: Tensor) -> list[Unit]:
        """The strongest position of each channel in its images, channel by channel.

        Channels are spread over the layer; one that is zero in some of its images is passed over.

        Raises:
            ValueError: too few channels respond to these images.
        """
        net, maxima = DeconvNet(model, self.rule), []
        for some in images.split(CHUNK):
            maps = net.record(some, self.layer)[self.layer]
            width = maps.shape[3]
            maxima.append([part.cpu() for part in maps.flatten(2).max(2)])
        values, places = (torch.cat(parts) for parts in zip(*maxima, strict=True))
        units: list[Unit] = []
        for turn in range(self.channels):
            first = turn * self.images if self.share == "a" else 0
            own = range(first, first + self.images)
            taken = {unit.channel for unit in units}
            channel = _responding(values[first : own.stop], turn / self.channels, taken)
            for image in own:
                row, col = divmod(int(places[image, channel]), width)
                units.append(Unit(self.layer, channel, row, col, image))
        return units


def _responding(values: Tensor, start: float, taken: set[int]) -> int:
    """The first free channel from here on that is above zero in all of these images (rows)."""
    alive, channels = (values > 0).all(0), values.shape[1]
    for step in range(channels):
        channel = (int(start * channels) + step) % channels
        if alive[channel] and channel not in taken:
            return channel
    raise ValueError(
        f"of {channels} channels only {int(alive.sum())} respond to all of {len(values)} images "
        f"and {len(taken)} are in use; ask for fewer channels"
    )


@torch.no_grad()
def forward(model: nn.Module, images: Tensor) -> Tensor:
    """The plain forward pass."""
    return model(images)


def multiply_adds(model: nn.Module, images: Tensor) -> int:
    """How many multiply-adds a plain forward pass of these images takes."""
    with FlopCounterMode(display=False) as counter:
        forward(model, images)
    return int(counter.get_total_flops()) // 2
