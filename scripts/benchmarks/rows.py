"""The rows of the benchmark: adding one is one entry in ``ROWS``."""

from __future__ import annotations

from .memory import ManyUnits
from .mining import Mining
from .mining_files import Reading
from .occluding import Occluded
from .projections import Projections
from .ranges import Deep, Ranges

Row = Projections | Mining | Reading | ManyUnits | Occluded | Ranges | Deep  # a table of each


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
    *_layer("densenet121", "features.transition2.relu"),
    Mining("alexnet", batches=12, batch=64),
    Mining("vgg16", batches=4, batch=16),
    Reading("alexnet", batches=7, batch=64),
    Reading("vgg16", batches=5, batch=16),
    Occluded("alexnet"),
    Occluded("vgg16", stride=44, positions=5),
    Occluded("resnet50", stride=44, positions=5),
    ManyUnits(100),
    ManyUnits(1_000),
    ManyUnits(10_000),
    Ranges("alexnet", batches=12, batch=64),
    Ranges("vgg16", batches=4, batch=16),
    Deep("vgg16", 9),
    Deep("vgg16", 1_000),
    Deep("vgg16", 1_000, lowest=1_000, sample=1_000),
]
