"""What was worked out for images of one size, while the model is as it was."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, field
from typing import Any

from deconvnet.arguments import Brief

from .binding import Bindings

LATEST = 32  # answers that are kept when a plan is made: a unit is often asked for in many images
FEW = 128  # units; what more of them need is little beside their projections, and large


@dataclass(frozen=True, eq=False)
class Memory(Brief):
    """The memory of one geometry.

    Args:
        bound: layers on windows that are bound to calls of the model.
        answers: plans and boxes of few units by what was asked, oldest first.
    """

    bound: Bindings = field(default_factory=dict)
    answers: dict[Hashable, Any] = field(default_factory=dict)
