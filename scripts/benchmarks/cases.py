"""The rows of the benchmark: units of published networks on photographs, as a store gives them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import Dataset

from deconvnet import DeconvNet, Preprocessing, Unit
from deconvnet.zoo.tiles import FILES, Photographs

SIDE = 224  # pixels
GRAIN = 0.02  # one grey level, normalised: flat paper would tie in every pooling window
CHUNK = 8  # images recorded at once while units are chosen
RULES = ("deconvnet", "guided")
LAYERS: dict[str, dict[str, str]] = {  # {network: {node: the peer's module with the same value}}
    "alexnet": {f"features.{n}": f"features.{n}" for n in (4, 7, 9, 11)},
    "vgg16": {f"features.{n}": f"features.{n}" for n in (15, 22, 29)},
    "resnet50": {
        "layer1.2.relu_2": "layer1.2",
        "layer2.3.relu_2": "layer2.3",
        "layer3.5.relu_2": "layer3.5",
    },
}


@dataclass(frozen=True)
class Case:
    """One row: which units are asked for, and under which rule.

    Args:
        network: torchvision's name.
        layer: node name of a rectifier.
        rule: "deconvnet" or "guided".
        share: "a", each channel has images of its own, or "b", all channels share them.
        channels: how many.
        images: for each channel.
        weights: a state dict; seeded weights without.
    """

    network: str
    layer: str
    rule: str
    share: str = "a"
    channels: int = 8
    images: int = 9
    weights: str = ""

    @property
    def distinct(self) -> int:
        """How many images there are in all."""
        return self.images * (self.channels if self.share == "a" else 1)

    @property
    def units(self) -> int:
        """How many units there are."""
        return self.images * self.channels

    @property
    def module(self) -> str:
        """Name of the module whose output is the layer's value, for toolkits that want one."""
        return LAYERS[self.network][self.layer]

    @property
    def key(self) -> str:
        """The row's name: ``vgg16,features.22,guided,a``."""
        return ",".join((self.network, self.layer, self.rule, self.share))


def cases(
    *, rules: Sequence[str] = RULES, channels: int = 8, images: int = 9, weights: str = ""
) -> Iterator[Case]:
    """Every row; (b) under the first rule alone, since what is shared there does not depend on it.

    Args:
        rules: of "deconvnet" and "guided".
        channels: of each row.
        images: for each channel.
        weights: a state dict for VGG-16.
    """
    for network, layers in LAYERS.items():
        given = weights if network == "vgg16" else ""
        for layer in layers:
            for rule in rules:
                yield Case(network, layer, rule, "a", channels, images, given)
            yield Case(network, layer, rules[0], "b", channels, images, given)


@cache
def network(name: str, weights: str = "") -> nn.Module:
    """A torchvision network in evaluation mode, with seeded weights (He 2015) or given ones.

    Its parameters want no gradient, which spares the peers memory.
    """
    with torch.device("meta"):
        model = torchvision.models.get_model(name, weights=None)
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            inputs = module.weight[0].numel()
            module.weight.normal_(0, sqrt(2 / inputs), generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    if weights:
        model.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    return model


class Pictures(Dataset[Tensor]):
    """Tiles of scikit-image's photographs, kept in memory, with a little seeded grain.

    Args:
        count: how many, spread evenly over all tiles.
        side: pixels.

    Raises:
        ValueError: there are not so many tiles.
    """

    def __init__(self, count: int, *, side: int = SIDE) -> None:
        prepare = Preprocessing((side, side), side)
        tiles = Photographs(list(FILES), prepare, scales=(0.25, 0.5), side=SIDE)
        if count > len(tiles):
            raise ValueError(f"{count} images were asked for, the photographs give {len(tiles)}")
        self.images = torch.empty(count, 3, side, side)
        for i in range(count):
            self.images[i] = tiles[i * len(tiles) // count]
        grain = torch.randn(self.images.shape, generator=torch.Generator().manual_seed(0))
        self.images.add_(grain.mul_(GRAIN))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """One image, (3, side, side)."""
        return self.images[index]

    def fingerprint(self) -> str:
        """What the images are made from."""
        return f"{len(self)} tiles with grain {GRAIN}"


@cache
def pictures(count: int) -> Tensor:
    """So many photographs, (count, 3, 224, 224)."""
    return Pictures(count).images


def units_of(case: Case, model: nn.Module, images: Tensor) -> list[Unit]:
    """The units of a row, channel by channel: the strongest position of each in its images.

    Args:
        case: the row.
        model: on the device of the images.
        images: (case.distinct, 3, height, width).

    Raises:
        ValueError: too few channels respond to these images.
    """
    net, found = DeconvNet(model, case.rule), []
    for some in images.split(CHUNK):
        maps = net.record(some, case.layer)[case.layer]
        width = maps.shape[3]
        value, place = maps.flatten(2).max(2)
        found.append(torch.stack([value.double(), place.double()]).cpu())
    values, places = torch.cat(found, 1)
    units: list[Unit] = []
    taken: set[int] = set()
    for turn in range(case.channels):
        first = turn * case.images if case.share == "a" else 0
        rows = range(first, first + case.images)
        channel = _responding(values[first : rows.stop], turn / case.channels, taken)
        taken.add(channel)
        for image in rows:
            row, col = divmod(int(places[image, channel]), width)
            units.append(Unit(case.layer, channel, row, col, image))
    return units


def _responding(values: Tensor, start: float, taken: set[int]) -> int:
    """The first free channel from here that is above zero in all of these images (rows)."""
    alive, channels = (values > 0).all(0).tolist(), values.shape[1]
    for step in range(channels):
        channel = (int(start * channels) + step) % channels
        if alive[channel] and channel not in taken:
            return channel
    raise ValueError(
        f"of {channels} channels only {sum(alive)} respond to all of {len(values)} images and "
        f"{len(taken)} are in use; ask for fewer channels"
    )
