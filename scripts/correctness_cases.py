"""The rows of the correctness table: every spelling of a rectifier, and published networks."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from types import ModuleType

import torch
import torch.nn.functional as F
from torch import Tensor, nn

ROOT = Path(__file__).resolve().parents[1]
NETWORKS = {
    "alexnet": "",
    "vgg11_bn": "",
    "resnet18": "",
    "squeezenet1_1": "",
    "mnasnet1_0": "",
    "shufflenet_v2_x1_0": "",
    "googlenet": "",
    "inception_v3": "",
    "densenet121": "",
    "mobilenet_v2": "",
    "efficientnet_b0": "SiLU",
    "convnext_tiny": "GELU",
}


@dataclass(frozen=True)
class Case:
    """A model that scores classes, and one image.

    Args:
        name: what the row is called.
        make: builds the model, in float64, the same every time.
        image: (1, channels, *size), float64.
        unruled: its first activation to which the papers give no rule; empty if there is none.
        refused: what this toolkit's error names, where it must not give a map.
        scores: the module whose value the scores are, for toolkits that can be asked by name.
        twin: the same model so that the reference sees inside; by default the model.
    """

    name: str
    make: Callable[[], nn.Module]
    image: Tensor
    unruled: str = ""
    refused: str = ""
    scores: str = ""
    twin: Callable[[], nn.Module] | None = None


@cache
def of_tests(name: str) -> ModuleType:
    """A file of the tests, ``reference`` or ``networks``, which are in a checkout only.

    Raises:
        FileNotFoundError: this is no checkout.
    """
    path = ROOT / "tests" / "support" / f"{name}.py"
    if not path.is_file():
        raise FileNotFoundError(
            f"there is no tests/support/{name}.py beside scripts/; run the script from a "
            "checkout of the repository, whose tests hold the independent reference"
        )
    spec = importlib.util.spec_from_file_location(f"correctness_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def networks() -> list[Case]:
    """Published networks, as torchvision builds them, with seeded weights."""
    tests = of_tests("networks")
    return [
        Case(name, partial(tests.network, name), tests.pictures(name, 1), unruled)
        for name, unruled in NETWORKS.items()
    ]


def spellings() -> list[Case]:
    """Small models that differ in how they write their activations down."""
    shared = nn.ReLU()
    written: dict[str, Callable[[], Callable[[Tensor], Tensor]]] = {
        "`nn.ReLU()`, one a place": nn.ReLU,
        "`nn.ReLU(inplace=True)`": lambda: nn.ReLU(inplace=True),
        "one `nn.ReLU()`, called twice": lambda: shared,
        "`F.relu(x)`": lambda: F.relu,
        "`torch.relu(x)`": lambda: torch.relu,
        "`x.relu()`": lambda: lambda x: x.relu(),
        "`nn.ReLU6()`": nn.ReLU6,
    }
    smooth = {"LeakyReLU": nn.LeakyReLU, "GELU": nn.GELU}
    image = 8 * of_tests("networks").noise(1, 3, 15, 15)  # beyond the ceiling of ReLU6
    pooled = partial(seeded, partial(Small, nn.ReLU, nn.MaxPool2d(3, 2)))
    return [
        *(Case(name, _small(make), image) for name, make in written.items()),
        Case("3×3/2 max pooling, overlapping", pooled, image),
        Case("pre-activation residual block", partial(seeded, PreActivation), image),
        Case("`relu(h) + 5 * h`", Smallest, torch.ones(1, 2, 1, 1).double()),
        *(Case(f"`nn.{name}()`", _small(make), image, name) for name, make in smooth.items()),
    ]


class Small(nn.Module):
    """Two convolutions with rectifiers, and class scores.

    Args:
        rectifier: makes what follows each convolution: a module or a function.
        between: between the two.
    """

    def __init__(
        self, rectifier: Callable[[], Callable[[Tensor], Tensor]], between: nn.Module
    ) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.first, self.second = rectifier(), rectifier()
        self.between = between
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.between(self.first(self.conv1(x)))
        return self.classifier(self.second(self.conv2(x)).mean((2, 3)))


class PreActivation(nn.Module):
    """A residual block that rectifies first, so that its rectifier's input has a second reader.

    He 2016, "Identity mappings in deep residual networks".
    """

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3)
        self.relu1, self.relu2, self.relu3 = nn.ReLU(), nn.ReLU(), nn.ReLU()
        self.conv1, self.conv2 = nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 3, padding=1)
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.stem(x)
        x = x + self.conv2(self.relu2(self.conv1(self.relu1(x))))
        return self.classifier(self.relu3(x).mean((2, 3)))


class Smallest(nn.Module):
    """``relu(h) + 5 h`` with ``h = (2, -3) x``: for ones, deconvnet gives (12, -18)."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor([2.0, -3.0]).double().view(1, 2, 1, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The sum over everything as the only class score, (batch, 1)."""
        h = x * self.factor
        return (self.relu(h) + 5 * h).flatten(1).sum(1, keepdim=True)


def _small(rectifier: Callable[[], Callable[[Tensor], Tensor]]) -> Callable[[], nn.Module]:
    return partial(seeded, partial(Small, rectifier, nn.Identity()))


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model in float64, filled with the same random weights every time."""
    model = make().double().eval()
    of_tests("networks").fill(model, torch.Generator().manual_seed(0))
    return model
