"""A LeNet whose rectifiers are calls of F.relu, and what Quantus says of its maps."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.adapters import quantus_explain

SIZE, EPOCHS, BATCH = 28, 15, 64
TRAINED_ON = 1400  # of 1797 digits; the others are explained
RULES = ("gradient", "guided", "deconvnet")
COMPOSITES = {"gradient": None, "guided": "guided_backprop", "deconvnet": "deconvnet"}
Explain = Callable[..., NDArray[Any]]


class LeNet(nn.Module):
    """Two convolutions and three linear layers (LeCun 1998), for digits (batch, 1, 28, 28)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(256, 120), nn.Linear(120, 84), nn.Linear(84, 10)

    def forward(self, x: Tensor) -> Tensor:
        """The scores (batch, 10)."""
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.conv2(x)), 2)
        x = F.relu(self.fc1(x.flatten(1)))
        return self.fc3(F.relu(self.fc2(x)))


class LeNetOfModules(LeNet):
    """The same function of the same parameters; its rectifiers are modules, which zennit finds."""

    def __init__(self) -> None:
        super().__init__()
        self.relus = nn.ModuleList(nn.ReLU() for _ in range(4))

    def forward(self, x: Tensor) -> Tensor:
        """The scores (batch, 10)."""
        x = F.max_pool2d(self.relus[0](self.conv1(x)), 2)
        x = F.max_pool2d(self.relus[1](self.conv2(x)), 2)
        x = self.relus[2](self.fc1(x.flatten(1)))
        return self.fc3(self.relus[3](self.fc2(x)))


@dataclass(frozen=True, eq=False)
class Digits:
    """scikit-learn's handwritten digits (Alpaydin & Kaynak 1998), enlarged to 28 x 28.

    Args:
        images: (1797, 1, 28, 28) in [0, 1].
        classes: (1797,) 0 to 9.
    """

    images: Tensor
    classes: Tensor

    @staticmethod
    def load() -> Digits:
        """Read them from scikit-learn."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        small = torch.from_numpy(digits.images / 16).float()[:, None]
        images = F.interpolate(small, size=(SIZE, SIZE), mode="bilinear")
        return Digits(images, torch.from_numpy(digits.target).long())

    def unseen(self, count: int) -> tuple[Tensor, Tensor]:
        """The first digits that no net is trained on, and their classes."""
        here = slice(TRAINED_ON, TRAINED_ON + count)
        return self.images[here], self.classes[here]


def trained(digits: Digits, seed: int, *, epochs: int = EPOCHS) -> tuple[LeNet, float]:
    """A LeNet trained on the first digits, and its accuracy on the others; 10 s on one core."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = LeNet()
        optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
        for _ in range(epochs):
            for some in torch.randperm(TRAINED_ON).split(BATCH):
                optimizer.zero_grad()
                F.cross_entropy(model(digits.images[some]), digits.classes[some]).backward()
                optimizer.step()
    model.eval()
    images, classes = digits.unseen(len(digits.images))
    with torch.no_grad():
        right = model(images).argmax(1) == classes
    return model, float(right.float().mean())


def of_modules(model: LeNet) -> LeNetOfModules:
    """The twin of a net whose rectifiers are modules, with copies of its parameters."""
    twin = LeNetOfModules()
    twin.load_state_dict(copy.deepcopy(model.state_dict()))
    return twin.eval()


def by_zennit(rule: str) -> Explain:
    """Quantus' own call of zennit."""
    import quantus

    asked = {"xai_lib": "zennit", "composite": COMPOSITES[rule]}
    return partial(quantus.explain, **asked)


def explainers(rules: Sequence[str] = RULES) -> dict[tuple[str, str], Explain]:
    """{(toolkit, rule): explain_func}."""
    theirs = {("Quantus with zennit", rule): by_zennit(rule) for rule in rules}
    return theirs | {("deconvnet", rule): quantus_explain(rule) for rule in rules}


@dataclass(frozen=True, eq=False)
class Row:
    """What Quantus says of one way to explain one net.

    Args:
        net: how its rectifiers are written.
        toolkit: that made the maps.
        rule: that it was asked for.
        seed: of the net's training.
        off: greatest difference from the right map, relative to its greatest value.
        from_gradient: the same, from the gradient.
        mprt: mean over digits and stages of the Spearman correlation of absolute maps with those
            of the trained net, top-down (Adebayo 2018); lower: they change more.
        last: the same at the last stage, where all weights are random.
        emprt: mean relative rise of the entropy of maps, when all weights are random (Hedström
            2023); higher: the trained net's maps are simpler.
    """

    net: str
    toolkit: str
    rule: str
    seed: int
    off: float
    from_gradient: float
    mprt: float
    last: float
    emprt: float


def rows(model: LeNet, digits: tuple[Tensor, Tensor], seed: int) -> list[Row]:
    """Every toolkit, rule and spelling of one net."""
    found = []
    right = {rule: maps_of(model, digits, explain) for (_, rule), explain in ours().items()}
    for net, one in {"F.relu": model, "nn.ReLU": of_modules(model)}.items():
        for (toolkit, rule), explain in explainers().items():
            maps = maps_of(one, digits, explain)
            off = error(maps, right[rule]), error(maps, right["gradient"])
            found.append(Row(net, toolkit, rule, seed, *off, *scores(one, digits, explain)))
    return found


def ours() -> Mapping[tuple[str, str], Explain]:
    """Those of this toolkit, which the tests hold against an independent reference."""
    return {key: explain for key, explain in explainers().items() if key[0] == "deconvnet"}


def maps_of(model: nn.Module, digits: tuple[Tensor, Tensor], explain: Explain) -> NDArray[Any]:
    """(images, 1, 28, 28) the maps of the true class of each digit."""
    images, classes = digits
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantus', the same each time
        return explain(model=model, inputs=images.numpy(), targets=classes.numpy())


def error(maps: NDArray[Any], right: NDArray[Any]) -> float:
    """The greatest difference, relative to the greatest right value."""
    return float(np.abs(maps - right).max() / np.abs(right).max())


def scores(
    model: nn.Module, digits: tuple[Tensor, Tensor], explain: Explain
) -> tuple[float, float, float]:
    """Quantus' MPRT (mean over stages, and at the last one) and eMPRT, as ``Row`` has them."""
    import quantus

    images, classes = digits
    asked = {
        "model": model, "x_batch": images.numpy(), "y_batch": classes.numpy(),
        "explain_func": explain, "batch_size": len(images),
    }  # fmt: skip
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Quantus', the same each time
        every = quantus.MPRT(layer_order="top_down", disable_warnings=True)(**asked)
        risen = quantus.EfficientMPRT(layer_order="top_down", disable_warnings=True)(**asked)
    every.pop("original")  # the trained net with itself, which Quantus' own mean includes
    means = [float(np.mean(values)) for values in every.values()]
    return float(np.mean(means)), means[-1], float(np.mean(risen))
