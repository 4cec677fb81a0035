"""Rows of the correctness table: models that are not what a trace of their code shows.

Each stands for a kind of model that is asked about in public threads: hooks, weights that are made
when the model is called, branches, functions with a backward of their own, parts without one.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import torch
from torch import Tensor, nn

from .cases import Case, Small, of_tests, seeded


def situations() -> list[Case]:
    """Small models; what is expected is what the model does when its user calls it."""
    image = of_tests("networks").noise(1, 3, 15, 15)

    def row(name: str, make: Callable[[], nn.Module], **told: str) -> Case:
        return Case(name, partial(seeded, make), image, **told)

    scripted = row("a block of `torch.jit.script`", partial(_blocked, compiled=True))
    return [
        row("a forward hook on a convolution", _hooked),
        row("`weight_norm`, then new weights", _normed),
        row("`if torch.is_tensor(x)`", _Branching),
        row("a scale made under `no_grad`", _Scaled),
        row("`F.relu` beside a module `relu_1`", _Named, scores="relu_1"),
        row("own `autograd.Function`", partial(_between, _Straight), unruled="Sign"),
        row("a GRU after a convolution", _Recurrent, unruled="GRU"),
        Case(
            scripted.name,
            scripted.make,
            image,
            refused="block",
            twin=partial(seeded, partial(_blocked, compiled=False)),
        ),
        row("a part in int8", partial(_between, _Int8), refused="between"),
    ]


@contextmanager
def deprecated() -> Iterator[None]:
    """What torch advises against, and people's models are full of."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _between(part: Callable[[], nn.Module]) -> Small:
    return Small(nn.ReLU, part())


def _hooked() -> Small:
    model = Small(nn.ReLU, nn.Identity())
    model.conv1.register_forward_hook(lambda module, inputs, output: 3 * output - 0.5)
    return model


def _normed() -> Small:
    """The weight of a call is made of ``weight_g`` and ``weight_v`` by a hook before it.

    They are filled after this, as by ``load_state_dict``: the attribute ``weight`` is out of date.
    """
    model = Small(nn.ReLU, nn.Identity())
    with deprecated(), torch.no_grad():  # a weight that has a history could not be copied
        nn.utils.weight_norm(model.conv2)
    return model


class _Branching(Small):
    """Normalises what is a tensor, which nothing is that only stands for one."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU, nn.Identity())
        self.register_buffer("mean", torch.tensor([0.5, -0.4, 0.3]).view(1, 3, 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        if torch.is_tensor(x):
            x = (x - self.mean) / 0.25
        return super().forward(x)


class _Scaled(Small):
    """Divides by a scale to which no signal goes."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU, nn.Identity())

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.first(self.conv1(x))
        with torch.no_grad():
            scale = x.square().mean((1, 2, 3), keepdim=True).sqrt()
        return self.classifier(self.second(self.conv2(x / scale)).mean((2, 3)))


class _Named(Small):
    """Its second ``F.relu`` would be called like the module that gives the scores."""

    def __init__(self) -> None:
        super().__init__(nn.ReLU, nn.Identity())
        self.relu_1 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = nn.functional.relu(self.conv2(nn.functional.relu(self.conv1(x))))
        return self.relu_1(self.classifier(x.mean((2, 3))))


class Sign(torch.autograd.Function):
    """A sign that sends its signal straight through (Bengio 2013)."""

    @staticmethod
    def forward(ctx: object, input: Tensor) -> Tensor:
        """-1, 0 or 1."""
        return input.sign()

    @staticmethod
    def backward(ctx: object, *signals: Tensor) -> Tensor:
        """The signal."""
        return signals[0]


class _Straight(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        found: Tensor = Sign.apply(x - 1)
        return found


class _Recurrent(nn.Module):
    """Reads the places of a map one after another; the last state is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.relu = nn.Conv2d(3, 8, 3, stride=3), nn.ReLU()
        self.gru, self.classifier = nn.GRU(8, 6, batch_first=True), nn.Linear(6, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        outputs, _ = self.gru(self.relu(self.conv(x)).flatten(2).transpose(1, 2))
        scores: Tensor = self.classifier(outputs.mean(1))
        return scores


class _Blocked(nn.Module):
    """A block of layers, and class scores."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.relu = nn.Conv2d(3, 8, 3), nn.ReLU()
        self.block: nn.Module = nn.Sequential(nn.Conv2d(8, 8, 3), nn.ReLU(), nn.Conv2d(8, 8, 3))
        self.classifier = nn.Linear(8, 5)

    def forward(self, x: Tensor) -> Tensor:
        """Class scores, (batch, 5)."""
        x = self.relu(self.block(self.relu(self.stem(x))))
        scores: Tensor = self.classifier(x.mean((2, 3)))
        return scores


def _blocked(*, compiled: bool) -> _Blocked:
    model = _Blocked()
    if compiled:
        with deprecated():
            model.block = torch.jit.script(model.block)
    return model


class _Int8(nn.Module):
    """Values in steps of 1/16, through which no signal comes back."""

    def forward(self, x: Tensor) -> Tensor:
        steps = (16 * x).round().to(torch.int8)
        return steps.to(x.dtype) / 16
