"""Rectifier policies: what an activation does to the signal; else the methods do not differ."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from deconvnet.arguments import Brief

from .parameters import written


class UnmirroredError(ValueError):
    """A policy has no rule for an activation that the signal has to pass."""


@dataclass(frozen=True, eq=False)
class Activation(Brief):
    """An elementwise activation function ``a = f(z)``.

    Args:
        name: as the field calls it, "ReLU", "GELU".
        function: ``f``, never in place.
        ceiling: for functions that are the identity between 0 and a ceiling and constant
            elsewhere (``inf`` for ReLU, 6 for ReLU6); None for every other one.
        in_place: ``f`` written over its argument; None where there is no such function.
    """

    name: str
    function: Callable[[Tensor], Tensor]
    ceiling: float | None = None
    in_place: Callable[[Tensor], Tensor] | None = None

    @property
    def rectifies(self) -> bool:
        """True for ReLU and its clipped relatives: never negative and piecewise linear."""
        return self.ceiling is not None

    def derivative(self, z: Tensor, a: Tensor) -> Tensor:
        """``f'(z)``, shaped like ``z``; a mask of bools where it is only ever 0 or 1."""
        if self.ceiling is not None:
            if self.ceiling == float("inf"):
                return a.bool()  # faster than a > 0, and True where it is NaN, as PyTorch has it
            return (a > 0) & (a < self.ceiling)
        with torch.enable_grad():
            origin = z.detach().requires_grad_()
            (slope,) = torch.autograd.grad(self.function(origin).sum(), origin)
        return slope


RENAMED = {"rules": "supports", "placewise": "pointwise"}
"""{old name that a user's rule may still have: name now}; it would be ignored in silence."""


class Rectifier(Brief, ABC):
    """What an activation does to the signal ``R`` that arrives from above.

    To make a policy of your own, write a subclass with these two methods and pass an instance:
    ``DeconvNet(model, rectifier=MyRectifier())``.
    """

    name: ClassVar[str]
    normalization: ClassVar[str] = "exact"
    """What local response normalisation does to the signal unless told: "exact" or "identity"."""
    pointwise: ClassVar[bool] = False
    """Whether the rule looks at one place at a time, and sends nothing where nothing arrives.

    What it keeps must be shaped like ``z``, and ``signal`` give 0 where ``R`` is 0. Then a unit is
    projected inside of its receptive field alone, which is many times faster.
    """

    chain_rule: ClassVar[bool] = False
    """Whether the rule is the derivative, so that autograd itself may carry the signal."""

    keeps: ClassVar[tuple[str, ...] | None] = None
    """Names of what ``remember`` returns, in its order: () for nothing, ("derivative",), …

    A recording made under another rule serves this one if that rule keeps all of these too. None:
    only its own recordings do.
    """

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        for old, new in RENAMED.items():
            if old in vars(cls):
                raise TypeError(f"{cls.__name__}.{old} is now called {new}; rename it")

    @abstractmethod
    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> Any:
        """What is kept of a forward pass.

        Args:
            z: (batch, ...) the activation's input.
            a: (batch, ...) its output.
            activation: the function; ``activation.derivative(z, a)`` gives its slope.

        Returns:
            None, a tensor with the batch on axis 0, or a tuple of such tensors.
        """

    @abstractmethod
    def signal(self, R: Tensor, kept: Any) -> Tensor:
        """The signal ``G`` sent below, shaped like the signal ``R`` from above."""

    def supports(self, activation: Activation) -> bool:
        """Whether the policy is defined for this activation: ReLU and its clipped relatives."""
        return activation.rectifies

    def __str__(self) -> str:
        """The rule's one identity, in captions, metadata and stores: "guided", "rectgrad(98)".

        The parameters are what the instance holds under names without a leading underscore.
        """
        told = [written(value) for name, value in vars(self).items() if name[:1] != "_"]
        return f"{self.name}({', '.join(told)})" if told else self.name


class Gradient(Rectifier):
    """``R · f'(z)``: the chain rule, so that a projection is the gradient (Simonyan 2013)."""

    name = "gradient"
    keeps = ("derivative",)
    pointwise = chain_rule = True

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> Tensor:
        """The derivative: for ReLU the mask ``z > 0``."""
        return activation.derivative(z, a)

    def signal(self, R: Tensor, kept: Tensor) -> Tensor:
        """``R`` where the unit was active, R · 1[z > 0]."""
        return R * kept

    def supports(self, activation: Activation) -> bool:
        """Every differentiable activation has a gradient."""
        return True


class DeconvNetRule(Rectifier):
    """``max(R, 0)``: the rectifier itself, applied to the signal (Zeiler & Fergus 2014, 2.1)."""

    name = "deconvnet"
    keeps = ()
    pointwise = True
    normalization = "identity"

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> None:
        """Nothing: the rule does not look at the image."""

    def signal(self, R: Tensor, kept: None) -> Tensor:
        """The positive part, max(R, 0)."""
        return R.clamp(min=0)


class Guided(Rectifier):
    """``max(R, 0) · 1[z > 0]``: both masks at once (Springenberg 2014, figure 1)."""

    name = "guided"
    keeps = ("derivative",)
    pointwise = True
    normalization = "identity"

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> Tensor:
        """The mask ``z > 0``."""
        return activation.derivative(z, a)

    def signal(self, R: Tensor, kept: Tensor) -> Tensor:
        """The positive part where the unit was active, max(R, 0) · 1[z > 0]."""
        return R.clamp(min=0) * kept


class Identity(Rectifier):
    """``R``: the activation is passed by, so that the whole mirror is linear (Mahendran 2016)."""

    name = "identity"
    keeps = ()
    pointwise = True

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> None:
        """Nothing."""

    def signal(self, R: Tensor, kept: None) -> Tensor:
        """``R``, unchanged."""
        return R

    def supports(self, activation: Activation) -> bool:
        """Passing by is possible everywhere."""
        return True


@dataclass(frozen=True, eq=False)
class RectGrad(Rectifier):
    """``R · 1[a·R > τ]``, τ the q-th percentile of ``a·R`` per sample and layer (Kim 2019).

    Args:
        q: percentile in [0, 100]; the paper's is 98.
    """

    name = "rectgrad"
    keeps = ("activation", "derivative")
    q: float = 98.0

    def __post_init__(self) -> None:
        if not 0 <= self.q <= 100:
            raise ValueError(f"rectgrad's percentile was {self.q}; give one between 0 and 100")

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> tuple[Tensor, Tensor]:
        """The activation and its slope."""
        return a, activation.derivative(z, a)

    def signal(self, R: Tensor, kept: tuple[Tensor, Tensor]) -> Tensor:
        """``R`` where its importance ``a·R`` passes the threshold."""
        a, slope = kept
        importance = (a * R).flatten(1)
        threshold = _percentile(importance, self.q).view(-1, *[1] * (R.ndim - 1))
        return R * (a * R > threshold) * slope


def _percentile(values: Tensor, q: float) -> Tensor:
    """The q-th percentile of every row, interpolated linearly; any length, any real dtype."""
    place = (values.shape[1] - 1) * q / 100
    low = int(place)
    below = values.kthvalue(low + 1, dim=1).values
    if place == low:
        return below
    return torch.lerp(below, values.kthvalue(low + 2, dim=1).values, place - low)


RECTIFIERS: dict[str, Callable[..., Rectifier]] = {
    "gradient": Gradient,
    "deconvnet": DeconvNetRule,
    "guided": Guided,
    "identity": Identity,
    "rectgrad": RectGrad,
}
FALLBACKS: dict[str, Callable[[], Rectifier]] = {"derivative": Gradient, "rectify": DeconvNetRule}
NORMALIZATIONS = ("exact", "identity")
UNPOOLINGS = ("switches", "centre", "uniform")


def rectifier(policy: str | Rectifier) -> Rectifier:
    """A policy by its name: ``"deconvnet"``, ``"guided"``, ``"rectgrad(95)"``; or itself.

    Raises:
        ValueError: no policy has this name.
    """
    if isinstance(policy, Rectifier):
        return policy
    match = re.fullmatch(r"(\w+)(?:\(([\d.e+-]+)\))?", policy) if isinstance(policy, str) else None
    if match is None or match[1] not in RECTIFIERS or (match[2] and match[1] != "rectgrad"):
        names = ", ".join(RECTIFIERS)
        raise ValueError(
            f"no rectifier is called {policy!r}; use one of {names}, or an instance of a "
            "subclass of deconvnet.Rectifier"
        )
    make = RECTIFIERS[match[1]]
    return make(float(match[2])) if match[2] else make()


@dataclass(frozen=True, eq=False)
class Policies(Brief):
    """The choices that define a mirror: rectifier, fallback, normalisation, unpooling.

    Args:
        rectifier: the rule for activations.
        fallback: what happens at an activation for which the rectifier has no rule:
            "derivative" (the chain rule), "rectify" (the positive part of the signal), or None:
            then it is an error.
        normalization: local response normalisation is passed by ("identity"), or carries the
            signal by its derivative ("exact"); None leaves it to the rectifier.
        unpooling: a max pooling's value goes to where its maximum stood ("switches"), to the
            "centre" of its window, or in equal parts to all of it ("uniform").
    """

    rectifier: Rectifier
    fallback: str | None = None
    normalization: str | None = None
    unpooling: str = "switches"

    @staticmethod
    def of(
        rule: str | Rectifier | Policies,
        fallback: str | None = None,
        *,
        normalization: str | None = None,
        unpooling: str = "switches",
    ) -> Policies:
        """The policies of a rule given by name or instance; or policies themselves.

        Raises:
            ValueError: no rule has this name, or more is said beside policies.
        """
        if not isinstance(rule, Policies):
            return Policies(rectifier(rule), fallback, normalization, unpooling)
        if (fallback, normalization, unpooling) != (None, None, "switches"):
            raise ValueError(
                f"policies ({rule}) were given, and beside them fallback={fallback!r}, "
                f"normalization={normalization!r} and unpooling={unpooling!r}; say these in "
                "Policies(...)"
            )
        return rule

    def __str__(self) -> str:
        """Every choice that is not the default: "guided, fallback derivative, unpooling centre"."""
        rest = {"fallback": self.fallback, "normalization": self.normalization}
        told = [f"{name} {value}" for name, value in rest.items() if value is not None]
        told += [f"unpooling {self.unpooling}"] * (self.unpooling != "switches")
        return ", ".join([str(self.rectifier), *told])

    def __post_init__(self) -> None:
        if self.fallback is not None and self.fallback not in FALLBACKS:
            raise ValueError(f"fallback was {self.fallback!r}; use 'derivative' or 'rectify'")
        if self.normalization is not None and self.normalization not in NORMALIZATIONS:
            raise ValueError(f"normalization was {self.normalization!r}; use 'exact' or 'identity'")
        if self.unpooling not in UNPOOLINGS:
            raise ValueError(f"unpooling was {self.unpooling!r}; use one of {UNPOOLINGS}")

    @property
    def response_normalization(self) -> str:
        """What local response normalisation does: "exact" or "identity"."""
        return self.normalization or self.rectifier.normalization

    @property
    def channelwise(self) -> bool:
        """Whether no rule looks at several channels; of a user's own that is not known."""
        return type(self.rectifier) in RECTIFIERS.values()

    def rectifier_for(self, activation: Activation) -> Rectifier:
        """The rectifier that applies to an activation.

        Raises:
            UnmirroredError: the rectifier has no rule for it and ``fallback`` was not given.
        """
        if self.rectifier.supports(activation):
            return self.rectifier
        if self.fallback is None:
            raise UnmirroredError(
                f"the policy '{self.rectifier}' has no rule for {activation.name}; choose "
                "what happens there: fallback='derivative' (multiply by its slope) or "
                "fallback='rectify' (keep the positive part of the signal)"
            )
        return FALLBACKS[self.fallback]()
