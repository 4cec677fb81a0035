"""What is measured on: torchvision's networks with seeded weights, and photographs."""

from __future__ import annotations

from functools import cache

import torch
import torchvision
from torch import Tensor, nn
from torch.utils.data import Dataset

from deconvnet import Preprocessing
from deconvnet.zoo.tiles import FILES, Photographs

SIDE = 224  # pixels
GRAIN = 0.02  # one grey level, normalised: equal pixels would tie in every pooling window


@cache
def network(name: str, weights: str = "") -> nn.Module:
    """A network of torchvision's, in evaluation mode, whose parameters need no gradient.

    Without a file of weights they are He-normal (He 2015), from a fixed seed.
    """
    with torch.device("meta"):  # torchvision's own initialisation is slow
        model = torchvision.models.get_model(name, weights=None)
    model = model.to_empty(device="cpu").eval().requires_grad_(False)
    generator = torch.Generator().manual_seed(0)
    for module in model.modules():
        if isinstance(module, (nn.Conv2d, nn.Linear)):
            nn.init.kaiming_normal_(module.weight, generator=generator)
            if module.bias is not None:
                module.bias.zero_()
        elif isinstance(module, nn.BatchNorm2d):
            module.reset_parameters()
    if weights:
        model.load_state_dict(torch.load(weights, weights_only=True), strict=False)
    return model


class Pictures(Dataset[Tensor]):
    """Tiles of scikit-image's photographs in memory, spread evenly, with a little seeded noise.

    Raises:
        ValueError: there are fewer tiles.
    """

    def __init__(self, count: int, *, side: int = SIDE) -> None:
        prepare = Preprocessing((side, side), side)
        tiles = Photographs(list(FILES), prepare, scales=(0.25, 0.5), side=SIDE)
        if count > len(tiles):
            raise ValueError(f"{count} images were asked for, the photographs give {len(tiles)}")
        images = torch.stack([tiles[i * len(tiles) // count] for i in range(count)])
        noise = torch.randn(images.shape, generator=torch.Generator().manual_seed(0))
        self.images = images.add_(noise.mul_(GRAIN))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Tensor:
        """One image, (3, side, side)."""
        return self.images[index]


@cache
def pictures(count: int) -> Tensor:
    """This many photographs, (count, 3, 224, 224)."""
    return Pictures(count).images
