"""Activations that run where a policy cannot see them are refused, not passed by derivative."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import BackwardCFunction

from deconvnet.graph.own_functions import Applied
from deconvnet.layers import (
    Activation,
    Local,
    MirroredLayer,
    Policies,
    Rectification,
    UnmirroredError,
)
from deconvnet.layers.policies import Gradient

from .opaque import _Rule

ACTIVATIONS = (
    "Relu", "Hardtanh", "Threshold", "LeakyRelu", "PreluKernel", "Elu", "Celu", "Gelu", "Silu",
    "Mish", "Hardswish", "Hardsigmoid", "Softplus", "Hardshrink", "Softshrink", "LogSigmoid",
    "Sigmoid", "Tanh", "Glu", "Rrelu",
)  # fmt: skip
"""How autograd calls activations, as in "ReluBackward0"."""

COMPILED = "what torch.jit has compiled"
RULED = ("Relu", "Hardtanh", COMPILED)


def applied(
    target: Applied, call: Callable[..., Any], inputs: int, policies: Policies
) -> MirroredLayer:
    """The layer of a user's own ``autograd.Function``: an activation that no policy has a rule for.

    Args:
        target: the function.
        call: values that carry a signal -> its value.
        inputs: how many these are.
        policies: what happens there.

    Raises:
        UnmirroredError: the policy has no rule, or one for activations of one tensor alone.
    """
    rule = policies.rule(Activation(target.__name__, torch.tanh))
    if isinstance(rule, Gradient):
        return Local(call)
    if inputs > 1:
        raise UnmirroredError(
            f"{target.__name__} takes {inputs} tensors that carry a signal, and the policy "
            f"'{rule.name}' is one for activations of one; choose elsewhere='derivative'"
        )
    return Rectification(Activation(target.__name__, _alike(target, call)))


def _alike(target: Applied, call: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    def run(z: Tensor) -> Tensor:
        a = call(z)
        if not isinstance(a, Tensor) or a.shape != z.shape:
            raise UnmirroredError(
                f"{target.__name__} does not give one tensor shaped like its input, so that it is "
                "no activation; choose elsewhere='derivative'"
            )
        return a

    return run


def refuse_unseen(outputs: Sequence[Tensor | None], policies: Policies) -> None:
    """See that no activation is left in autograd's graph of an operation that is not looked into.

    Those that the policies rule were replaced while it ran; what is left was hidden: in a compiled
    part, in an ``autograd.Function``, in an operation of an extension.

    Raises:
        UnmirroredError: one was.
    """
    if isinstance(policies.rectifier, Gradient):
        return
    for name in sorted(set(_hidden(outputs))):
        hidden = Activation(name, torch.tanh, float("inf") if name in RULED else None)
        ruled = policies.rectifier.rules(hidden)
        if ruled or not isinstance(policies.rule(hidden), Gradient):
            raise UnmirroredError(
                f"the policy '{policies.rectifier.name}' cannot be applied to {name}, which runs "
                "where it cannot be seen (compiled by torch.jit, or inside an extension); give the "
                "module in plain PyTorch, or use rectifier='gradient'"
            )


def _hidden(outputs: Sequence[Tensor | None]) -> Iterator[str]:
    """The names of activations and of own functions in autograd's graph."""
    open_ = [out.grad_fn for out in outputs if out is not None and out.grad_fn is not None]
    met = set(open_)
    while open_:
        step = open_.pop()
        name = step.name().partition("Backward")[0].rpartition("::")[2]
        own = isinstance(step, BackwardCFunction)
        if own and getattr(step, "_forward_cls", None) is not _Rule:
            yield name
        elif name in ACTIVATIONS:
            yield name
        elif name == "DifferentiableGraph":
            yield COMPILED
        for below, _ in step.next_functions:
            if below is not None and below not in met:
                met.add(below)
                open_.append(below)


__all__ = ["applied", "refuse_unseen"]
