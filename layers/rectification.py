"""Activation functions: the signal passes them as the rectifier policy says."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.arguments import counted

from .base import Inside, Record, SamePlaces, first_sentence, no_filters
from .crop import Crop
from .functional import PerSample, Values, along
from .policies import Activation, DeconvNetRule, Policies, Rectifier

INFINITY = float("inf")


@dataclass(frozen=True, eq=False)
class Kept(Record):
    """What the rectifier keeps of an activation: nothing, a tensor, or a tuple of tensors."""

    kept: Any

    @property
    def in_words(self) -> str:
        """Nothing, a mask, or how many tensors."""
        kept = [one for one in pytree.tree_leaves(self.kept) if isinstance(one, Tensor)]
        if [one.dtype for one in kept] == [torch.bool]:
            return "mask"
        return counted(len(kept), "tensor") if kept else "nothing"

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Kept:
        """What was kept of the same places."""
        return Kept(pytree.tree_map_only(Tensor, output.of, self.kept))


@dataclass(frozen=True, eq=False)
class Active(Record):
    """The output of a ReLU in place of its mask: larger, and faster to make and to apply.

    On windows its cells outside of the map may be written over: no signal comes back from there.
    """

    output: Tensor

    @property
    def kept(self) -> Tensor:
        """The mask."""
        return self.output.bool()


@dataclass(frozen=True, eq=False)
class Rectification(SamePlaces):
    """An activation function under a rectifier policy.

    Args:
        activation: the function.
        rectifier: the policy; None until ``under`` has been told which.
    """

    activation: Activation
    rectifier: Rectifier | None = None
    packed: bool = True  # what is remembered is small, to be kept for long
    mined = True

    @property
    def activation_name(self) -> str:  # type: ignore[override]
        """As the field calls it."""
        return self.activation.name

    @property
    def rectifies(self) -> bool:  # type: ignore[override]
        """As the function does."""
        return self.activation.rectifies

    def record(self, input: Tensor) -> tuple[Tensor, Kept]:
        """Activate, and let the policy remember what it needs."""
        output = self.activation.function(input)
        if self.rectifier is None:
            raise ValueError(
                f"{self.activation.name} was run without a rectifier; call "
                "layer.under(Policies(rectifier(...))) first"
            )
        return output, Kept(self.rectifier.remember(input, output, self.activation))

    def mirror(self, signal: Tensor, record: Kept | Active) -> tuple[Tensor]:
        """As the policy says."""
        assert self.rectifier is not None, "record() refuses layers without a rectifier"
        return (self.rectifier.signal(signal, record.kept),)

    @property
    def mirror_in_words(self) -> str:
        """The name of the rule, and what it does to the signal R."""
        if self.rectifier is None:
            return super().mirror_in_words
        told = first_sentence(type(self.rectifier).signal)
        return f"{self.rectifier}: {told}" if told else str(self.rectifier)

    def inside(self, record: Kept) -> Inside | None:
        """The same layer, if the policy looks at one place at a time."""
        return Inside(replace(self, packed=False)) if self.channelwise else None

    @property
    def channelwise(self) -> bool:  # type: ignore[override]
        """If the policy looks at one place at a time."""
        return self.rectifier is not None and self.rectifier.pointwise

    def under(self, policies: Policies) -> Rectification:
        """Under the policy's rectifier, or its fallback.

        Raises:
            UnmirroredError: the policy has no rule for this activation.
        """
        return replace(self, rectifier=policies.rectifier_for(self.activation))

    def reused(self, record: Kept, policies: Policies) -> tuple[Rectification, Kept] | None:
        """With what the other rule keeps, taken out of what this one kept."""
        other = self.under(policies)
        assert self.rectifier is not None, "it was recorded"
        assert other.rectifier is not None, "it is under policies"
        kept = _taken(other.rectifier, self.rectifier, record.kept)
        return None if kept is None else (other, kept)


def of_module(module: nn.Module, input: Tensor) -> tuple[Rectification, tuple[Tensor]]:
    """The layer and the inputs of a call of any activation module."""
    function, in_place = module.forward, None  # its hooks are run by whoever runs the module
    if hasattr(module, "inplace"):
        function, in_place = _forward(module, inplace=False), _forward(module, inplace=True)
    activation = Activation(type(module).__name__, function, module_ceiling(module), in_place)
    return Rectification(activation), (input,)


def _forward(module: nn.Module, *, inplace: bool) -> Callable[[Tensor], Tensor]:
    """What a module does, in place or not, whatever it was told."""
    bare: Any = copy.copy(module)  # shares the parameters; the user's module stays as it is
    bare.inplace = inplace
    function: Callable[[Tensor], Tensor] = bare.forward
    return function


def _taken(rule: Rectifier, other: Rectifier, kept: Any) -> Kept | None:
    """What a rule would have kept, out of what another one kept; None if that holds less."""
    if rule is other:
        return Kept(kept)
    if rule.keeps is None or other.keeps is None:
        return None
    parts = dict(zip(other.keeps, kept if len(other.keeps) > 1 else (kept,), strict=False))
    if not set(rule.keeps) <= set(parts):
        return None
    taken = tuple(parts[name] for name in rule.keeps)
    return Kept(taken if len(taken) > 1 else taken[0] if taken else None)


@dataclass(frozen=True, eq=False)
class GatedLinearUnit(PerSample):
    """GLU: one half of an axis times the sigmoid of the other (Dauphin 2017).

    No paper gives the three methods a rule for it. By derivative it is the product rule; where
    ``fallback`` says "rectify", the positive part of the signal goes through the product rule.
    """

    rectified: bool = False  # take the positive part of the signal first
    activation_name = "GLU"

    def mirror(self, signal: Tensor, record: Values) -> tuple[Tensor | None, ...]:
        """The product rule at the recorded halves."""
        return super().mirror(signal.clamp(min=0) if self.rectified else signal, record)

    def under(self, policies: Policies) -> GatedLinearUnit:
        """By the product rule, if the policies allow it.

        Raises:
            UnmirroredError: the policy has no rule for a gate.
        """
        rule = policies.rectifier_for(Activation("GLU", self.function))
        return replace(self, rectified=isinstance(rule, DeconvNetRule))

    def reused(self, record: Values, policies: Policies) -> tuple[GatedLinearUnit, Values]:
        """Both halves are kept under every rule."""
        return self.under(policies), record


def glu(input: Tensor, dim: int = -1) -> Any:
    """Reads calls of ``F.glu``."""
    return GatedLinearUnit(lambda x: F.glu(x, dim), along(dim), no_filters), (input,)


def module_ceiling(module: nn.Module) -> float | None:
    """Where a module that is 0 below 0 stops growing; None if it is no such function."""
    m: Any = module
    if isinstance(module, nn.ReLU):
        return INFINITY
    if isinstance(module, nn.Hardtanh):  # ReLU6 too
        return float(m.max_val) if m.min_val == 0 else None
    if isinstance(module, nn.Threshold):
        return INFINITY if m.value == 0 and m.threshold >= 0 else None
    if isinstance(module, nn.LeakyReLU):
        return INFINITY if m.negative_slope == 0 else None
    return None


def of_call(
    name: str,
    function: Callable[..., Tensor],
    ceiling: float | None = None,
    in_place: Callable[[Tensor], Tensor] | None = None,
) -> Callable[..., Any]:
    """Reads calls of an activation function with any further arguments but ``inplace``."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        (_, *rest), named = without_inplace(function, (input, *args), kwargs)
        activation = Activation(name, lambda z: function(z, *rest, **named), ceiling, in_place)
        return Rectification(activation), (input,)

    return read


def clamp(input: Tensor, min: Any = None, max: Any = None) -> Any:
    """Reads ``x.clamp(min=0)``, which is a ReLU; other bounds make an activation without a rule."""
    if isinstance(min, Tensor) or isinstance(max, Tensor):
        return None
    rectifies = min == 0 and (max is None or max > 0)
    ceiling = (INFINITY if max is None else float(max)) if rectifies else None
    activation = Activation("clamp", lambda z: z.clamp(min, max), ceiling)
    return Rectification(activation), (input,)


def clamp_max(input: Tensor, max: Any) -> Any:
    """Reads ``x.clamp_max(6)``."""
    return clamp(input, max=max)


def hardtanh(
    input: Tensor, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False
) -> Any:
    """Reads calls of ``F.hardtanh``."""
    ceiling = float(max_val) if min_val == 0 else None
    activation = Activation("Hardtanh", lambda z: F.hardtanh(z, min_val, max_val), ceiling)
    return Rectification(activation), (input,)


def threshold(input: Tensor, threshold: float, value: float, inplace: bool = False) -> Any:
    """Reads calls of ``F.threshold``."""
    ceiling = INFINITY if value == 0 and threshold >= 0 else None
    activation = Activation("Threshold", lambda z: F.threshold(z, threshold, value), ceiling)
    return Rectification(activation), (input,)


def without_inplace(
    function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call with ``inplace=True`` turned to False, wherever it stands."""
    kwargs = {name: False if name == "inplace" else value for name, value in kwargs.items()}
    try:
        names = list(inspect.signature(function).parameters)
    except ValueError:  # built in: these have no such argument
        return args, kwargs
    place = names.index("inplace") if "inplace" in names else len(args)
    return tuple(False if i == place else value for i, value in enumerate(args)), kwargs
