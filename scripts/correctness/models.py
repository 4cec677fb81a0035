"""Small models for the correctness table: every spelling of a rectifier, and kinds of code.

The kinds are those that people ask about in public threads: hooks, weights that are made when the
model is called, branches, functions with a backward of their own, parts without one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
from torch import Tensor, nn

from tests.support.networks import fill

Function = Callable[[Tensor], Tensor]


class Small(nn.Module):
    """Two convolutions with rectifiers, and class scores.

    Args:
        rectifier: makes what follows each convolution: a module or a function.
        between: applied between the two.
    """

    def __init__(
        self, rectifier: Callable[[], Function] = nn.ReLU, between: nn.Module | None = None
    ) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(3, 8, 3), nn.Conv2d(8, 8, 3)
        self.first, self.second = rectifier(), rectifier()
        self.between = between or nn.Identity()
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.between(self.first(self.conv1(x)))
        return self.classifier(self.second(self.conv2(x)).mean((2, 3)))


class PreActivation(nn.Module):
    """A residual block whose first rectifier shares its input with the skip connection.

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
        self.register_buffer("factor", torch.tensor([2.0, -3.0]).view(1, 2, 1, 1))
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """The sum over everything as the only class score, (batch, 1)."""
        h = x * self.factor
        return (self.relu(h) + 5 * h).flatten(1).sum(1, keepdim=True)


class Branching(Small):
    """Normalises its input if it is a tensor; a tracer's stand-in is none."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor([0.5, -0.4, 0.3]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        if torch.is_tensor(x):
            x = (x - self.mean) / 0.25
        return super().forward(x)


class Scaled(Small):
    """Divides by a scale that is computed under ``no_grad``."""

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.first(self.conv1(x))
        with torch.no_grad():
            scale = x.square().mean((1, 2, 3), keepdim=True).sqrt()
        return self.classifier(self.second(self.conv2(x / scale)).mean((2, 3)))


class Named(Small):
    """A tracer would call its second ``F.relu`` like the module that gives the scores."""

    def __init__(self) -> None:
        super().__init__()
        self.relu_1 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = nn.functional.relu(self.conv2(nn.functional.relu(self.conv1(x))))
        return self.relu_1(self.classifier(x.mean((2, 3))))


class Sign(torch.autograd.Function):
    """A sign with a straight-through gradient (Bengio 2013)."""

    @staticmethod
    def forward(ctx: object, input: Tensor) -> Tensor:
        """-1, 0 or 1."""
        return input.sign()

    @staticmethod
    def backward(ctx: object, *signals: Tensor) -> Tensor:
        """The signal."""
        return signals[0]


class StraightThrough(nn.Module):
    """``sign(x - 1)`` by a function with a backward of its own."""

    def forward(self, x: Tensor) -> Tensor:
        """Shaped like x."""
        return Sign.apply(x - 1)


class Int8(nn.Module):
    """Values in steps of 1/16 by way of int8, which has no gradient."""

    def forward(self, x: Tensor) -> Tensor:
        """Shaped like x."""
        return (16 * x).round().to(torch.int8).to(x.dtype) / 16


class Recurrent(nn.Module):
    """A GRU reads the positions of a feature map as a sequence."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3, stride=3), nn.ReLU()
        self.gru, self.classifier = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        outputs, _ = self.gru(self.relu(self.conv(x)).flatten(2).transpose(1, 2))
        return self.classifier(outputs.mean(1))


class Blocked(nn.Module):
    """A block of layers, compiled or not, and class scores."""

    def __init__(self, *, compiled: bool = False) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.block: nn.Module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.classifier = nn.Linear(8, 5)
        if compiled:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # TorchScript is deprecated, and in use
                self.block = torch.jit.script(self.block)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.relu(self.block(self.relu(self.stem(x))))
        return self.classifier(x.mean((2, 3)))


def hooked() -> Small:
    """A forward hook changes what a convolution returns."""
    model = Small()
    model.conv1.register_forward_hook(lambda module, inputs, output: 3 * output - 0.5)
    return model


def weight_normed() -> Small:
    """A hook makes the weight of each call from ``weight_g`` and ``weight_v``.

    Both are filled afterwards, as by ``load_state_dict``, so the attribute ``weight`` is stale.
    """
    model = Small()
    with warnings.catch_warnings(), torch.no_grad():  # a weight with a history cannot be copied
        warnings.simplefilter("ignore")  # this weight_norm is deprecated, and in use
        nn.utils.weight_norm(model.conv2)
    return model


def seeded(make: Callable[[], nn.Module]) -> nn.Module:
    """A model in float64 and evaluation mode, filled with the same random weights every time."""
    model = make().double().eval()
    fill(model, torch.Generator().manual_seed(0))
    return model
