"""The cells of the correctness table: a toolkit's map against the independent reference."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from tests.support.reference import EveryRelu, error

from .cases import Case
from .peers import Peer

METHODS = ("deconvnet", "guided")
ROUNDING = 1e-12  # smaller differences are those of float64


@dataclass(frozen=True)
class Cell:
    """What a toolkit gave for one model and method.

    The error is the greatest difference from the reference, relative to the reference's greatest
    value; None where there is no map, or no rule to compare it with.
    """

    error: float | None = None
    gradient: bool = False  # the map is the plain gradient, and that is not the reference
    said: str = ""  # why there is no map

    def __str__(self) -> str:
        if self.said:
            return self.said.split(":")[0]
        if self.error is None:
            return "gradient" if self.gradient else "another"
        shown = "<1e-12" if self.error < ROUNDING else f"**{self.error:.2g}**"
        return f"{shown} (gradient)" if self.gradient else shown


@dataclass(frozen=True)
class Question:
    """A class score of a model, and the right answers."""

    model: nn.Module  # in evaluation mode; toolkits get a copy each, since some change it
    image: Tensor  # (1, channels, *size)
    target: int  # the class with the highest score
    gradient: Tensor | None  # of the score, by autograd; None where it has none
    expected: dict[str, Tensor]  # {method: map} by the reference; empty where no map is right
    scores: str = ""  # the module whose value the scores are; empty for what the model returns


def row(case: Case, peers: Sequence[Peer]) -> dict[str, dict[str, Cell]]:
    """{method: {toolkit: cell}} of one model."""
    asked = question(case)
    return {
        method: {peer.name: cell(peer, method, asked) for peer in peers if method in peer.methods}
        for method in METHODS
    }


def question(case: Case) -> Question:
    """Compute the class and the right maps.

    Raises:
        ValueError: a map is zero, or the plain gradient: the row would prove nothing.
    """
    model, image = case.make(), case.image
    with torch.no_grad():
        target = int(copy.deepcopy(model)(image).argmax())
    gradient = reference(model, image, target)
    expected: dict[str, Tensor] = {}
    if gradient is not None and not case.unruled:
        seen = case.twin() if case.twin else model
        maps = {method: reference(seen, image, target, method) for method in METHODS}
        expected = {method: right for method, right in maps.items() if right is not None}
        if not expected["guided"].any() or error(gradient, expected["deconvnet"]) < 0.01:
            raise ValueError(
                f"{case.name}: the reference's map of class {target} is zero or the plain "
                "gradient, which proves nothing; choose another seed or another image"
            )
    return Question(model, image, target, gradient, expected, case.scores)


def reference(model: nn.Module, image: Tensor, target: int, method: str = "") -> Tensor | None:
    """The map of a class score by tests/support/reference.py; without a method the gradient.

    None if the score has no gradient.
    """
    model, image = copy.deepcopy(model), image.detach().clone().requires_grad_()
    with EveryRelu(method) if method else nullcontext():
        scores = model(image)
    if not scores.requires_grad:
        return None
    (signal,) = torch.autograd.grad(scores[0, target], image, allow_unused=True)
    return signal


def cell(peer: Peer, method: str, asked: Question) -> Cell:
    """Ask a toolkit, and compare its map with the reference's."""
    if not peer.version:
        return Cell(said="not installed")
    model, image = copy.deepcopy(asked.model), asked.image.detach().clone()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum's, which are the same for every model
            given = peer.ask(model, image, asked.target, method, asked.scores).detach()
    except Exception as problem:  # whatever a toolkit raises is its answer
        return Cell(said=f"raises: {type(problem).__name__}: {problem}")
    if given.shape != image.shape:
        return Cell(said=f"a map of shape {tuple(given.shape)}")
    plain = asked.gradient is not None and error(given, asked.gradient) < ROUNDING
    expected = asked.expected.get(method)
    if expected is None:
        return Cell(gradient=plain)
    off = error(given, expected)
    return Cell(off, plain and off >= ROUNDING)
