"""Why the graph of a model cannot be read: the line of the model, the reason, the remedy."""

from __future__ import annotations

import traceback
from pathlib import Path

import torch
import torchvision
from torch import nn

_NOT_THE_MODELS = tuple(str(Path(str(p)).parent) for p in (torch.__file__, torchvision.__file__))
_OURS = str(Path(__file__).parent)
_REMEDY = (
    "The graph of a model must not depend on the values in its tensors: take such branches out of "
    "forward, or put them into a function of their own and register it with torch.fx.wrap"
)
_LONGEST = 200  # characters of a reason: torch.export can say a page


class UntraceableError(ValueError):
    """A model whose graph cannot be read."""


class NotFollowed(UntraceableError):
    """One way to read a model did not work; another one may.

    Args:
        model: which could not be read.
        reason: in a line.
        where: "at FILE:LINE, `CODE`" of the model, or nothing.
    """

    def __init__(self, model: nn.Module, reason: str, *, where: str = "") -> None:
        self.model, self.reason, self.where = model, reason, where
        super().__init__(f"{type(model).__name__} cannot be traced{where}: {reason}. {_REMEDY}")

    @classmethod
    def after(cls, model: nn.Module, error: Exception) -> NotFollowed:
        """Made of what torch raised while it read the model."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        return cls(model, lines[0][:_LONGEST].rstrip("."), where=_where(error))


def unreadable(traced: NotFollowed, exported: NotFollowed) -> UntraceableError:
    """Both ways failed: one message with both reasons and one line of the model."""
    return UntraceableError(
        f"{type(traced.model).__name__} cannot be traced{exported.where or traced.where}: torch.fx "
        f"says: {traced.reason}; torch.export says: {exported.reason}. {_REMEDY}"
    )


def _where(error: Exception) -> str:
    """The last line of the model that ran."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((*_NOT_THE_MODELS, _OURS, "<"))]
    return f" at {own[-1].filename}:{own[-1].lineno}, `{own[-1].line}`" if own else ""
