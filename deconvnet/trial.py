"""One run of a mirrored layer, with autograd's version of the same run beside it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .layers import MirroredLayer


class LawBroken(AssertionError):
    """A layer does not keep a law; the message says which one, and where it is furthest off."""


class Trial:
    """A layer that was run at some inputs.

    Args:
        layer: under its policies.
        inputs: float64 tensors, or containers of them.
        forward: what autograd runs to have a derivative of its own; None for ``record``.
        tolerance: of every comparison, relative to the greatest value expected (at least 1).
        seed: of the random signals.
    """

    def __init__(
        self,
        layer: MirroredLayer,
        inputs: tuple[Any, ...],
        *,
        forward: Callable[..., Any] | None,
        tolerance: float,
        seed: int,
    ) -> None:
        self.layer, self.tolerance = layer, tolerance
        self.generator = torch.Generator().manual_seed(seed)
        leaves = pytree.tree_map(lambda x: x.detach().clone().requires_grad_(), inputs)
        with torch.enable_grad():
            expected = (forward or (lambda *x: layer.record(*x)[0]))(*leaves)
        self.inputs: list[Tensor] = pytree.tree_leaves(inputs)
        self.leaves: list[Tensor] = pytree.tree_leaves(leaves)
        self.outputs: list[Tensor] = [x for x in pytree.tree_leaves(expected) if carries(x)]
        if not any(x.requires_grad for x in self.outputs):
            raise ValueError(
                f"the output of {self.name} has no derivative to compare with; pass forward=, the "
                "same operation in plain torch"
            )
        before = [x.clone() for x in self.inputs]
        with torch.no_grad():
            self.output, self.record = layer.record(*inputs)
        self.same("untouched", self.inputs, before, "input {} after record")
        found = [x for x in pytree.tree_leaves(self.output) if carries(x)]
        self.same("forward", found, [x.detach() for x in self.outputs], "output {}")

    @property
    def name(self) -> str:
        """The layer's class."""
        return type(self.layer).__name__

    def signal(self, samples: int | None = None) -> Any:
        """A random signal shaped like the output, or like that for another number of samples."""

        def draw(value: Any) -> Tensor | None:
            if not carries(value):
                return None
            size = value.shape if samples is None else (samples, *value.shape[1:])
            return torch.randn(size, generator=self.generator, dtype=torch.float64)

        return pytree.tree_map(draw, self.output)

    def mirror(self, signal: Any, record: Any) -> list[Tensor]:
        """The signals the layer sends to its inputs; zeros where nothing arrives."""
        with torch.no_grad():
            found = pytree.tree_leaves(self.layer.mirror(signal, record))
        if len(found) != len(self.inputs):
            raise LawBroken(
                f"mirror law: {self.name} took {len(self.inputs)} tensors and sent {len(found)} "
                "signals back; send one to each, None where nothing arrives"
            )
        return [
            torch.zeros_like(x) if f is None else f for f, x in zip(found, self.inputs, strict=True)
        ]

    def derivative(self, signals: Sequence[Tensor]) -> list[Tensor]:
        """The signals autograd sends to the inputs."""
        pairs = [(o, s) for o, s in zip(self.outputs, signals, strict=True) if o.requires_grad]
        outputs, seeds = zip(*pairs, strict=True)
        found = torch.autograd.grad(
            outputs, self.leaves, seeds, retain_graph=True, allow_unused=True
        )
        return [
            torch.zeros_like(x) if f is None else f for f, x in zip(found, self.leaves, strict=True)
        ]

    def same(
        self, law: str, found: Sequence[Tensor], expected: Sequence[Tensor], where: str
    ) -> None:
        """Compare tensors pairwise.

        Raises:
            LawBroken: one is off; the message points to the greatest difference.
        """
        for number, (mine, right) in enumerate(zip(found, expected, strict=True)):
            self._same(law, mine, right, where.format(number))

    def _same(self, law: str, found: Tensor, expected: Tensor, where: str) -> None:
        told = f"{law} law: {self.name}, {where}"
        if found.shape != expected.shape:
            raise LawBroken(
                f"{told}: found shape {tuple(found.shape)}, expected {tuple(expected.shape)}"
            )
        if not found.numel():
            return
        gap = (found - expected).abs().nan_to_num(nan=float("inf"))
        if gap.max() > self.tolerance * max(1.0, float(expected.abs().max())):
            at = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
            raise LawBroken(
                f"{told}, index {at}: found {float(found[at]):.12g}, "
                f"expected {float(expected[at]):.12g}"
            )


def carries(value: Any) -> bool:
    """Whether a value is a tensor that can carry a signal."""
    return isinstance(value, Tensor) and value.is_floating_point()
