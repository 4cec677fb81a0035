"""The rows of the benchmark: adding one is one entry in ``ROWS``."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Protocol

from .memory import ManyUnits
from .mining import Mining
from .projections import Projections
from .timing import Setup


class Row(Protocol):
    """A row of one of the tables; rows of one class share a table.

    Attributes:
        columns: {title: what a cell shows of the figures that ``measure`` returned}.
    """

    columns: Mapping[str, Callable[[dict[str, Any]], str]]

    @property
    def key(self) -> str:
        """The row's name: words between commas."""

    def quick(self) -> Row:
        """A smaller row, to see that it runs."""

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Figures that JSON can hold: the row's own fields and what was measured."""


def _layer(network: str, layer: str, module: str = "") -> list[Row]:
    """Three rows of a layer; sharing images is independent of the rule and shown for one."""
    ways = (("deconvnet", "a"), ("guided", "a"), ("deconvnet", "b"))
    return [Projections(network, layer, rule, share, other_module=module) for rule, share in ways]


ROWS: list[Row] = [
    *_layer("alexnet", "features.4"),
    *_layer("alexnet", "features.7"),
    *_layer("alexnet", "features.9"),
    *_layer("alexnet", "features.11"),
    *_layer("vgg16", "features.15"),
    *_layer("vgg16", "features.22"),
    *_layer("vgg16", "features.29"),
    *_layer("resnet50", "layer1.2.relu_2", "layer1.2"),
    *_layer("resnet50", "layer2.3.relu_2", "layer2.3"),
    *_layer("resnet50", "layer3.5.relu_2", "layer3.5"),
    Mining("alexnet", batches=12, batch=64),
    Mining("vgg16", batches=4, batch=16),
    ManyUnits(100),
    ManyUnits(1_000),
    ManyUnits(10_000),
]
