"""The strip above a figure: its title, and how it was drawn."""

from dataclasses import dataclass

from .lettering import fold, measure, shorten
from .sheet import Sheet
from .style import QUIET, SMALL, TITLE

_LINE = 0.13  # inches
_SPACE = 0.12


@dataclass(frozen=True)
class Caption:
    """A title in bold and a remark beside it, or below it where the figure is narrow.

    Args:
        title: nothing is drawn, and no room taken, without one.
        remark: the subtitle and the rule of contrast.
        width: of the figure, in inches.
    """

    title: str | None
    remark: str
    width: float

    @property
    def height(self) -> float:
        """Room that the strip takes, in inches."""
        return (len(self._below) + 1) * _LINE + 0.06 if self.title else 0.0

    def draw(self, sheet: Sheet) -> None:
        """Draw the strip at the top of the sheet."""
        if not self.title:
            return
        sheet.text(self._title, 0.0, 0.1, size=TITLE, weight="bold")
        if not self._below:
            sheet.text(self.remark, self._right_of_title, 0.1, size=SMALL, colour=QUIET)
        for number, line in enumerate(self._below, start=1):
            sheet.text(line, 0.0, 0.1 + number * _LINE, size=SMALL, colour=QUIET)

    @property
    def _title(self) -> str:
        return shorten(self.title or "", self.width, size=TITLE, weight="bold")

    @property
    def _right_of_title(self) -> float:
        return measure(self._title, TITLE, weight="bold") + _SPACE

    @property
    def _below(self) -> list[str]:
        """The remark's lines, where it has no room beside the title."""
        if self._right_of_title + measure(self.remark, SMALL) <= self.width:
            return []
        return fold(self.remark, self.width, size=SMALL)


def remark(subtitle: str | None, rule: str) -> str:
    """The subtitle and the rule as one text."""
    return f"{subtitle}. {rule}" if subtitle else rule


LABEL_LINE = 0.135
"""Inches that a line of labels takes, at ``style.LABEL`` points."""

BASELINE = LABEL_LINE - 0.035
"""Inches from the top of that line to the foot of its letters."""
