"""What was worked out for images of one size, while the model is as it was."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, TypeVar

from deconvnet.arguments import Brief

from .binding import Bindings

Made = TypeVar("Made")
LATEST = 8  # answers that are remembered: one unit is often asked for in many images


@dataclass(frozen=True, eq=False)
class Memory(Brief):
    """The memory of one geometry.

    Args:
        bound: layers on windows that are bound to calls of the model.
        answers: the latest that were found by what was asked, oldest first.
    """

    bound: Bindings = field(default_factory=dict)
    answers: dict[Hashable, Any] = field(default_factory=dict)

    def of(self, asked: Hashable, make: Callable[[], Made]) -> Made:
        """What is known of a question, else what is made now."""
        if asked not in self.answers:
            while len(self.answers) >= LATEST:
                self.answers.pop(next(iter(self.answers)))
            self.answers[asked] = make()
        made: Made = self.answers[asked]
        return made
