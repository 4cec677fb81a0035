"""The numbers of Springenberg's figure 1: how each rule treats a ReLU on the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray

from deconvnet.arguments import counted, listed
from deconvnet.figures import Pass, relu_diagram
from deconvnet.layers import Activation, Rectifier
from deconvnet.layers import rectifier as rectifier_named

from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

METHODS = ("gradient", "deconvnet", "guided")
FORMULAS = {
    "gradient": "R · 1[z>0]",
    "deconvnet": "max(R, 0)",
    "guided": "max(R, 0) · 1[z>0]",
    "identity": "R",
}
INPUT = ((1, -1, 5), (2, -5, -7), (-3, 2, 4))
SIGNAL = ((-2, 3, -1), (6, -3, 1), (2, -1, 3))
"""The paper's numbers: what enters the rectifier, and the signal that arrives from above."""

_LINES = 5  # of a repr

Numbers = NDArray[np.float64]


@dataclass(frozen=True, eq=False, repr=False)
class ReluTable(Shown):
    """A few numbers on their way up through a ReLU, and a signal on its way down by each rule.

    Args:
        z: (3, 3) what enters the ReLU.
        a: (3, 3) what leaves it.
        R: (3, 3) the signal that arrives from above.
        sent: {rectifier: (3, 3) the signal it sends below}.
        stopped: {rectifier: (by z, by R) where a value of R was stopped, and by the sign of what}.
    """

    rule: ClassVar[str] = "numbers, not scaled"

    z: Numbers
    a: Numbers
    R: Numbers
    sent: Mapping[str, Numbers]
    stopped: Mapping[str, tuple[NDArray[np.bool_], NDArray[np.bool_]]]

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The diagram of Springenberg et al. 2014, figure 1: the way up, and each rule's down.

        The arguments are those of every result, see ``Shown.figure``.
        """
        nowhere = np.zeros(self.z.shape, bool)
        passes = [Pass("forward", "max(z, 0)", self.a, self.z, self.z <= 0, nowhere, upward=True)]
        for name, below in self.sent.items():
            passes.append(Pass(name, FORMULAS.get(name, ""), self.R, below, *self.stopped[name]))
        told = "Numbers of Springenberg et al. 2014, figure 1" if caption else None
        return relu_diagram(passes, width=width, title=title, caption=told, parent=parent)

    def table(self) -> list[dict[str, object]]:
        """One row a pass: its name, the numbers at the ReLU's output and at its input."""
        passes = {"forward": (self.a, self.z), **{n: (self.R, s) for n, s in self.sent.items()}}
        return [
            {"pass": name, "output": above.tolist(), "input": below.tolist()}
            for name, (above, below) in passes.items()
        ]

    def _lines(self) -> list[str]:
        became = {"forward": ("z", self.a), **{name: ("R", s) for name, s in self.sent.items()}}
        lines = [f"ReluTable(z = {_rows(self.z)}; R = {_rows(self.R)})"]
        lines += [f"  {name}: {one} becomes {_rows(to)}" for name, (one, to) in became.items()]
        if len(lines) > _LINES:
            left = counted(len(lines) - _LINES + 1, "more rule")
            lines[_LINES - 1 :] = [f"  … and {left} in table()"]
        return lines


def relu_table(rectifiers: str | Rectifier | Sequence[str | Rectifier] = METHODS) -> ReluTable:
    """Send the numbers of Springenberg et al. 2014, figure 1, through a ReLU and back.

    Args:
        rectifiers: the rules to compare, by name or as instances of your own.

    Returns:
        A result with ``figure``, ``table`` and ``save``; every number in it is what the rule
        itself returns.

    Raises:
        ValueError: no rectifier has this name.
    """
    z, R = (torch.tensor(part, dtype=torch.float64)[None, None] for part in (INPUT, SIGNAL))
    relu = Activation("ReLU", torch.relu, float("inf"))
    sent, stopped = {}, {}
    for rule in map(rectifier_named, listed(rectifiers, str, Rectifier)):
        sent[str(rule)] = _flat(_sent(rule, relu, z, R))
        by_z = _flat(_sent(rule, relu, z, R.abs())) == 0  # a signal that no sign stops
        by_R = _flat(_sent(rule, relu, z.abs(), R)) == 0
        stopped[str(rule)] = (by_z, by_R)
    return ReluTable(_flat(z), _flat(torch.relu(z)), _flat(R), sent, stopped)


def _sent(rule: Rectifier, relu: Activation, z: torch.Tensor, R: torch.Tensor) -> torch.Tensor:
    kept: Any = rule.remember(z, torch.relu(z), relu)
    return rule.signal(R, kept)


def _rows(numbers: Numbers) -> str:
    """The numbers on one line, row by row: ``1 0 5 | 2 0 0 | 0 2 4``."""
    return " | ".join(" ".join(f"{number:g}" for number in row) for row in numbers)


def _flat(numbers: torch.Tensor) -> Numbers:
    """The (3, 3) numbers without a negative zero."""
    flat: Numbers = numbers[0, 0].numpy() + 0.0
    return flat
