"""The cells of the correctness table: a toolkit's map against the independent reference."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from correctness_cases import Case, of_tests
from correctness_peers import Peer
from torch import Tensor, nn

METHODS = ("deconvnet", "guided")
ROUNDING = 1e-12  # smaller differences are those of float64


@dataclass(frozen=True)
class Cell:
    """What a toolkit gave for one model and method.

    Args:
        error: greatest difference from the reference, relative to the reference's greatest value;
            None where there is no map, or no rule to hold it to.
        gradient: the map is the plain gradient, and that is not the reference.
        said: why there is no map.
    """

    error: float | None = None
    gradient: bool = False
    said: str = ""

    def __str__(self) -> str:
        if self.said:
            return self.said.split(":")[0]
        if self.error is None:
            return "gradient" if self.gradient else "another"
        shown = "<1e-12" if self.error < ROUNDING else f"**{self.error:.2g}**"
        return f"{shown} (gradient)" if self.gradient else shown


@dataclass(frozen=True)
class Question:
    """A class score of a model, and the right answers.

    Args:
        model: in evaluation mode; toolkits get a copy each, since some change it.
        image: (1, channels, *size).
        target: the class, that with the highest score.
        gradient: the score's plain gradient, by autograd alone; None where it has none.
        expected: {method: map} by the reference; empty where there is no right map.
        scores: the module whose value the scores are; empty for what the model returns.
    """

    model: nn.Module
    image: Tensor
    target: int
    gradient: Tensor | None
    expected: dict[str, Tensor]
    scores: str = ""


def row(case: Case, peers: Sequence[Peer]) -> dict[str, dict[str, Cell]]:
    """{method: {toolkit: cell}} of one model."""
    asked = question(case)
    return {
        method: {peer.name: cell(peer, method, asked) for peer in peers if method in peer.methods}
        for method in METHODS
    }


def question(case: Case) -> Question:
    """Ask the reference.

    Raises:
        ValueError: its maps are zero, or the plain gradient: the row would prove nothing.
    """
    model, image = case.make(), case.image
    with torch.no_grad():
        target = int(copy.deepcopy(model)(image).argmax())
    gradient = reference(model, image, target, "autograd")
    if case.unruled or gradient is None:
        return Question(model, image, target, gradient, {})
    seen = model if case.twin is None else case.twin()
    expected = {}
    for method in METHODS:
        found = reference(seen, image, target, method)
        assert found is not None, "there is a gradient"
        expected[method] = found
    if not expected["guided"].any() or _error(gradient, expected["deconvnet"]) < 0.01:
        raise ValueError(
            f"{case.name}: the reference's map of class {target} is zero or the plain gradient, "
            "which proves nothing; choose another seed or another image"
        )
    return Question(model, image, target, gradient, expected, case.scores)


def reference(model: nn.Module, image: Tensor, target: int, rule: str) -> Tensor | None:
    """The map of a class score by the tests' reference or by autograd; None if no signal comes."""
    model, origin = copy.deepcopy(model), image.detach().clone().requires_grad_()
    if rule == "autograd":
        scores = model(origin)
    else:
        with of_tests("reference").EveryRelu(rule):
            scores = model(origin)
    if not scores.requires_grad:
        return None
    (found,) = torch.autograd.grad(scores[0, target], origin, allow_unused=True)
    return found


def cell(peer: Peer, method: str, asked: Question) -> Cell:
    """What a toolkit answers, held against the reference."""
    if not peer.version:
        return Cell(said="not installed")
    model, image = copy.deepcopy(asked.model), asked.image.detach().clone()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # captum's, which are the same for every model
            found = peer.ask(model, image, asked.target, method, asked.scores).detach()
    except Exception as error:  # whatever a toolkit raises is its answer
        return Cell(said=f"raises: {type(error).__name__}: {error}")
    if found.shape != image.shape:
        return Cell(said=f"a map of shape {tuple(found.shape)}")
    plain = asked.gradient is not None and _error(found, asked.gradient) < ROUNDING
    expected = asked.expected.get(method)
    if expected is None:
        return Cell(gradient=plain)
    error = _error(found, expected)
    return Cell(error, plain and error >= ROUNDING)


def _error(found: Tensor, expected: Tensor) -> float:
    difference: float = of_tests("reference").error(found, expected)
    return difference
