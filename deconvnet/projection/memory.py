"""What was worked out for images of one size, while the model is as it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deconvnet.arguments import Brief
from deconvnet.units import Unit

from .binding import Bindings

Made = TypeVar("Made")
LATEST = 32  # answers that are remembered: a unit is often asked for in many images
FEW = 128  # units; what more of them need is little beside their projections, and large


@dataclass(frozen=True, eq=False)
class Memory(Brief):
    """The memory of one geometry.

    Args:
        bound: layers on windows that are bound to calls of the model.
        answers: the latest that were found by what was asked, oldest first.
    """

    bound: Bindings = field(default_factory=dict)
    answers: dict[Hashable, Any] = field(default_factory=dict)

    def of(
        self, what: str, units: Sequence[Unit], *rest: Hashable, make: Callable[[], Made]
    ) -> Made:
        """What is known of some units, else what is made now.

        Args:
            what: is asked.
            units: of which.
            rest: what else the answer depends on.
            make: gives it.
        """
        if len(units) > FEW:
            return make()
        asked = (what, tuple(units), *rest)
        if asked not in self.answers:
            while len(self.answers) >= LATEST:
                self.answers.pop(next(iter(self.answers)))
            self.answers[asked] = make()
        made: Made = self.answers[asked]
        return made
