"""Networks for the tests: torchvision's, seeded, in float64, small enough for two cores."""

from __future__ import annotations

import math

import torch
import torchvision
from torch import nn

from deconvnet import DeconvNet, Recording, Unit

SIZES = {"inception_v3": 80, "vit_b_16": 64}
WIDE = {"alexnet": (1, 4, 6), "vgg11_bn": (0, 3, 6), "vgg16": (0, 3, 6)}  # places of the Linears
COMPUTING = ("regnet_y_400mf", "swin_t")  # their constructors need real numbers
ARGUMENTS = {
    "googlenet": {"init_weights": False},
    "inception_v3": {"init_weights": False},
    "vit_b_16": {"image_size": 64},
}
NETWORKS = (
    "alexnet",
    "vgg11_bn",
    "resnet18",
    "squeezenet1_1",
    "googlenet",
    "densenet121",
    "mobilenet_v2",
    "mnasnet1_0",
    "shufflenet_v2_x1_0",
    "inception_v3",
    "efficientnet_b0",
)
GIANTS = (
    "vgg16",
    "resnet50",
    "resnext50_32x4d",
    "regnet_y_400mf",
    "mobilenet_v3_large",
    "efficientnet_v2_s",
    "convnext_tiny",
    "swin_t",
    "vit_b_16",
)


def network(name: str, *, seed: int = 0) -> nn.Module:
    """A torchvision model with weights of our own, so that signals neither die nor explode.

    It is made without storage and filled afterwards, where the constructor allows it:
    torchvision's initialisations are slow.
    """
    with torch.device("cpu" if name in COMPUTING else "meta"):
        model = getattr(torchvision.models, name)(weights=None, **ARGUMENTS.get(name, {}))
        narrow(model, WIDE.get(name, ()))
    if name not in COMPUTING:
        model.to_empty(device="cpu")
    model.double().eval()
    fill(model, torch.Generator().manual_seed(seed))
    return model


def narrow(model: nn.Module, places: tuple[int, ...]) -> None:
    """Fully connected layers 32 wide: 4096 wide they take a gigabyte and test nothing more."""
    for number, place in enumerate(places):
        wide = model.classifier[place]
        inputs = 32 if number else wide.in_features
        outputs = 32 if number + 1 < len(places) else wide.out_features
        model.classifier[place] = nn.Linear(inputs, outputs)


@torch.no_grad()
def fill(model: nn.Module, generator: torch.Generator) -> None:
    """Gaussian filters (He 2015), BatchNorm statistics as if it had been trained."""
    for name, parameter in model.named_parameters():
        if parameter.ndim > 1:
            fan = math.prod(parameter.shape[1:])
            parameter.normal_(0, math.sqrt(2 / fan), generator=generator)
        elif name.endswith("bias"):
            parameter.normal_(0, 0.1, generator=generator)
        else:
            parameter.uniform_(0.5, 1.5, generator=generator)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.uniform_(0.5, 2, generator=generator)
        elif name.endswith("running_mean"):
            buffer.normal_(0, 0.1, generator=generator)
        elif name.endswith("num_batches_tracked"):
            buffer.zero_()


def pictures(name: str, count: int = 2, *, seed: int = 1) -> torch.Tensor:
    """Noise of the size a network is tested with, (count, 3, size, size), float64."""
    size = SIZES.get(name, 64)
    return noise(count, 3, size, size, seed=seed)


def noise(*size: int, seed: int = 1) -> torch.Tensor:
    """Gaussian noise in float64."""
    return torch.randn(size, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def probes(net: DeconvNet, images: torch.Tensor) -> list[str]:
    """An early, a middle and the last feature map of a network, and what it returns."""
    sizes = net.geometry(images.shape[1:]).sizes
    computed = [name for name in sizes if net.graph.nodes[name].call.op.startswith("call")]
    maps = [name for name in computed if len(sizes[name]) == 4 and sizes[name][-1] > 1]
    return [maps[len(maps) // 6], maps[len(maps) // 2], maps[-1], *net.graph.returned]


def live_units(recording: Recording, layer: str, count: int = 2) -> list[Unit]:
    """Units that respond: of some channels of every image, the strongest position."""
    found = []
    for image, maps in enumerate(recording[layer]):
        strongest = maps.flatten(1).amax(1) if maps.ndim > 1 else maps
        alive = torch.nonzero(strongest > 0).flatten().tolist()
        for channel in alive[:: max(1, len(alive) // count)][:count]:
            place = int(maps[channel].argmax()) if maps.ndim > 1 else 0
            index = torch.unravel_index(torch.tensor(place), maps.shape[1:])
            position = tuple(int(i) for i in index) or None
            found.append(Unit.at(layer, channel, position=position, image=image))
    return found
