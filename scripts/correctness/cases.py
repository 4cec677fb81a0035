"""The rows of the correctness table: adding one is one entry in ``CASES``."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tests.support.networks import network, noise, pictures

from . import models
from .models import Small


@dataclass(frozen=True)
class Case:
    """A model that scores classes, and one image."""

    name: str  # of the row
    make: Callable[[], nn.Module]  # the model in float64, the same every time
    image: Tensor  # (1, channels, *size), float64
    unruled: str = ""  # its first activation for which the papers have no rule
    refused: str = ""  # what our error names, where there is no right map
    scores: str = ""  # the module that gives the scores, for toolkits that can be asked by name
    twin: Callable[[], nn.Module] | None = None  # for the reference, which must see inside


NOISE = noise(1, 3, 15, 15)
LOUD = 8 * NOISE  # beyond the ceiling of ReLU6
ONE_MODULE = nn.ReLU()


def _small(name: str, make: Callable[[], nn.Module], image: Tensor = NOISE, **more: str) -> Case:
    return Case(name, partial(models.seeded, make), image, **more)


def _spelled(name: str, rectifier: Callable[[], models.Function], unruled: str = "") -> Case:
    return _small(name, partial(Small, rectifier), LOUD, unruled=unruled)


def _published(name: str, unruled: str = "") -> Case:
    return Case(name, partial(network, name), pictures(name, 1), unruled)


CASES = [
    _spelled("`nn.ReLU()`, one a place", nn.ReLU),
    _spelled("`nn.ReLU(inplace=True)`", partial(nn.ReLU, inplace=True)),
    _spelled("one `nn.ReLU()`, called twice", lambda: ONE_MODULE),
    _spelled("`F.relu(x)`", lambda: F.relu),
    _spelled("`torch.relu(x)`", lambda: torch.relu),
    _spelled("`x.relu()`", lambda: lambda x: x.relu()),
    _spelled("`nn.ReLU6()`", nn.ReLU6),
    _small("3×3/2 max pooling, overlapping", lambda: Small(between=nn.MaxPool2d(3, 2)), LOUD),
    _small("pre-activation residual block", models.PreActivation, LOUD),
    _small("`relu(h) + 5 * h`", models.Smallest, torch.ones(1, 2, 1, 1).double()),
    _spelled("`nn.LeakyReLU()`", nn.LeakyReLU, "LeakyReLU"),
    _spelled("`nn.GELU()`", nn.GELU, "GELU"),
    _small("a forward hook on a convolution", models.hooked),
    _small("`weight_norm`, then new weights", models.weight_normed),
    _small("`if torch.is_tensor(x)`", models.Branching),
    _small("a scale made under `no_grad`", models.Scaled),
    _small("`F.relu` beside a module `relu_1`", models.Named, scores="relu_1"),
    _small(
        "own `autograd.Function`", lambda: Small(between=models.StraightThrough()), unruled="Sign"
    ),
    _small("a GRU after a convolution", models.Recurrent, unruled="GRU"),
    Case(
        "a block of `torch.jit.script`",
        partial(models.seeded, partial(models.Blocked, compiled=True)),
        NOISE,
        refused="block",
        twin=partial(models.seeded, models.Blocked),
    ),
    _small("a part in int8", lambda: Small(between=models.Int8()), refused="between"),
    _published("alexnet"),
    _published("vgg11_bn"),
    _published("resnet18"),
    _published("squeezenet1_1"),
    _published("mnasnet1_0"),
    _published("shufflenet_v2_x1_0"),
    _published("googlenet"),
    _published("inception_v3"),
    _published("densenet121"),
    _published("mobilenet_v2"),
    _published("efficientnet_b0", "SiLU"),
    _published("convnext_tiny", "GELU"),
]
