"""Rows about occlusion: a class score under a square at every position, by captum and by us."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark.utils.timer import timer

from deconvnet import DeconvNet
from deconvnet.projection.changed import Rerun
from scripts.report import number, spread

from . import inputs
from .timing import Setup, interleaved, ratios

TOLERANCE = 1e-4  # of the greatest score, in float32
AT_ONCE = 32  # positions in one pass, of both


@dataclass(frozen=True)
class Occluded:
    """One row: all scores of a network for one image, with a square at positions of a grid."""

    network: str
    side: int = 45  # a fifth of the image, as ``deconvnet.occlusion`` takes it
    stride: int = 11  # a quarter of that
    positions: int = 17  # along an axis: the squares reach over 221 of 224 pixels

    columns = {
        "network": lambda f: f["network"],
        "square": lambda f: f"{f['side']} in steps of {f['stride']}",
        "positions": lambda f: str(f["positions"] ** 2),
        "times faster": lambda f: spread(ratios(f["seconds"]["captum"], f["seconds"]["ours"])),
        "CPU s: deconvnet": lambda f: number(min(f["seconds"]["ours"])),
        "CPU s: captum": lambda f: number(min(f["seconds"]["captum"])),
        "difference": lambda f: f"{f['error']:.0e}",
    }

    @property
    def key(self) -> str:
        """The row's name: ``vgg16,occlusion``."""
        return f"{self.network},occlusion"

    def quick(self) -> Occluded:
        """A smaller row, to see that it runs."""
        return replace(self, stride=88, positions=3)

    @property
    def extent(self) -> int:
        """Side of the image: the squares reach its edges, where captum cuts others short."""
        return (self.positions - 1) * self.stride + self.side

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Compare what both find, then time both: CPU seconds, on a GPU seconds.

        Raises:
            ValueError: the scores differ, or the squares leave the image.
        """
        if self.extent > inputs.SIDE:
            raise ValueError(f"the squares reach over {self.extent} of {inputs.SIDE} pixels")
        model = inputs.network(self.network, setup.weights_of(self.network)).to(setup.device)
        image = inputs.pictures(1)[..., : self.extent, : self.extent].to(setup.device)
        target = int(model(image).argmax())
        ours = self.ours(model, image)[:, target]
        whole = model(image)[0, target]
        peer = self.captum(model, image, target)
        expected = self.averaged(whole - ours, image)
        error = float((peer - expected).abs().max() / peer.abs().max())
        if not error < TOLERANCE:
            raise ValueError(f"{self.key}: the maps differ by {error:.1e} of their greatest value")
        sides = {
            "ours": lambda: self.ours(model, image),
            "captum": lambda: self.captum(model, image, target),
        }
        clock = time.process_time if setup.device == "cpu" else timer
        seconds = interleaved(sides, setup.rounds, clock)
        return {**asdict(self), "error": error, "seconds": seconds}

    @torch.no_grad()
    def ours(self, model: nn.Module, image: Tensor) -> Tensor:
        """(positions, classes), by the part of the toolkit that runs; the net is read each time."""
        net = DeconvNet(model, "gradient")
        layer = next(iter(net.record(image).activations))
        rerun = Rerun(net.graph, net.geometry(tuple(image.shape[1:])), image, layers=[layer])
        places = self.places
        square = image.new_zeros(1, 3, self.side, self.side)
        parts = [places[first : first + AT_ONCE] for first in range(0, len(places), AT_ONCE)]
        made = [rerun.of(some, square.expand(len(some), -1, -1, -1))[layer] for some in parts]
        return torch.cat(made)

    def captum(self, model: nn.Module, image: Tensor, target: int) -> Tensor:
        """(height, width): the mean loss of score over the squares on each pixel."""
        from captum.attr import Occlusion

        shapes = (3, self.side, self.side), (3, self.stride, self.stride)
        losses = Occlusion(model).attribute(
            image, shapes[0], strides=shapes[1], target=target, baselines=0.0,
            perturbations_per_eval=AT_ONCE,
        )  # fmt: skip
        return losses[0, 0]

    @property
    def places(self) -> np.ndarray[Any, np.dtype[np.int64]]:
        """(positions, 2) top and left of each square."""
        steps = np.arange(self.positions) * self.stride
        return np.stack(np.meshgrid(steps, steps, indexing="ij"), axis=-1).reshape(-1, 2)

    def averaged(self, losses: Tensor, image: Tensor) -> Tensor:
        """Captum's convention, in which our values are compared with its own."""
        summed, counted = image.new_zeros(2, *image.shape[2:])
        for loss, (top, left) in zip(losses, self.places.tolist(), strict=True):
            window = (slice(top, top + self.side), slice(left, left + self.side))
            summed[window] += loss
            counted[window] += 1
        return summed / counted
