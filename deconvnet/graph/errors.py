"""Why the graph of a model cannot be read: the line of the model, the reason, the remedy."""

from __future__ import annotations

import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torchvision
from torch import nn

_NOT_THE_MODELS = tuple(str(Path(str(p)).parent) for p in (torch.__file__, torchvision.__file__))
_OURS = str(Path(__file__).parent)
_REMEDY = (
    "The graph of a model must not depend on the values in its tensors: take such branches out of "
    "forward, or put them into a function of their own and register it with torch.fx.wrap"
)
BRANCHES = (
    "Take branches on types or values, and constants made of parameters, out of forward; or ask "
    "for a layer below, or give a part of the model: DeconvNet(model.PART)"
)
GRADIENTS = (
    "Its values agree and its gradient does not: forward changes gradients where only autograd "
    "sees it, by a hook of a tensor (x.register_hook), or by writing to x.data or under no_grad. "
    "Take that out of forward; or ask for a layer below, or give a part of the model"
)
_LONGEST = 200  # characters of a reason: torch.export can say a page


class UntraceableError(ValueError):
    """A model whose graph cannot be read."""


class NotFollowed(UntraceableError):
    """One frontend could not read the model; another one may.

    Args:
        model: which could not be read.
        reason: in a line.
        where: " at FILE:LINE, `CODE`" of the model, or nothing.
        followed: paths of the modules that were followed to their end.

    Attributes:
        below: the graph as far as it was read, if there are layers in it.
        cause: what torch raised.
    """

    def __init__(
        self, model: nn.Module, reason: str, *, where: str = "", followed: Sequence[str] = ()
    ) -> None:
        self.model, self.reason, self.where, self.followed = model, reason, where, followed
        self.below: Any = None
        self.cause: Exception | None = None
        super().__init__(f"{type(model).__name__} cannot be traced{where}: {reason}. {_REMEDY}")

    @classmethod
    def after(
        cls, model: nn.Module, error: Exception, *, followed: Sequence[str] = ()
    ) -> NotFollowed:
        """From what torch raised while it read the model."""
        lines = str(error).strip().splitlines() or [type(error).__name__]
        reason = lines[0][:_LONGEST].rstrip(".")
        refusal = cls(model, reason, where=_where(error), followed=followed)
        refusal.cause = error
        return refusal


class NotTheModel(UntraceableError):
    """A graph that computes something else than the model it was read from."""

    @classmethod
    def at(
        cls,
        model: nn.Module,
        differs: Sequence[tuple[str, Any]],
        refusals: Sequence[Exception],
        *,
        remedy: str = BRANCHES,
    ) -> NotTheModel:
        """From where each graph first differs, and why others could not be read.

        ``differs``: (which way the graph was read, the row of the comparison) of each.
        """
        told = [f"by {reader} it is another {_told(row)}" for reader, row in differs if row]
        told += [str(refusal).partition(". ")[0] for refusal in refusals]
        return cls(
            f"the graph of {type(model).__name__} is not the model: {'; '.join(told)}. {remedy}. "
            "check=False goes on with the graph as it is"
        )

    @classmethod
    def unsteady(cls, model: nn.Module, name: str) -> NotTheModel:
        """For a model that gives several answers to one input, first at this node."""
        return cls(
            f"{type(model).__name__} gives two answers to one input, first at {name}: in "
            "evaluation mode it still draws random numbers, or keeps a state (a buffer or "
            "parameter that forward writes into), so that no graph of it can be checked. Make it "
            "give one answer, ask for a layer below, or go on without the check: check=False"
        )


def _told(row: Any) -> str:
    kind = f" ({row.kind})" if row.kind else ""
    if not row.actual:
        return f"in that it stops: {row.name}"
    return f"at {row.name}{kind}: {row.actual}, the model gives {row.expected}"


def unreadable(traced: NotFollowed, exported: NotFollowed) -> UntraceableError:
    """Both frontends failed: one message with both reasons and one line of the model."""
    return UntraceableError(
        f"{type(traced.model).__name__} cannot be traced{exported.where or traced.where}: torch.fx "
        f"says: {traced.reason}; torch.export says: {exported.reason}. {_REMEDY}"
        f"{_part(traced.model, traced.followed)}"
    )


class Stopped(UntraceableError):
    """The requested layer lies beyond the point up to which the model can be read."""

    def __init__(self, refusal: UntraceableError, followed: Sequence[str]) -> None:
        self.followed = followed
        super().__init__(f"{refusal}. Layers below that place can be asked for by their names")


def _part(model: nn.Module, followed: Sequence[str]) -> str:
    """Suggest a part of the model to give instead: the largest that could be read."""
    if not followed:
        return ""
    least = min(path.count(".") for path in followed)
    top = [path for path in followed if path.count(".") == least]
    best = max(top, key=lambda path: sum(1 for _ in model.get_submodule(path).modules()))
    plain = all(part.isidentifier() for part in best.split("."))
    word = f"model.{best}" if plain else f"model.get_submodule({best!r})"
    return f"; or give the part that can be read: DeconvNet({word})"


def _where(error: Exception) -> str:
    """The last line of the model that ran."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [f for f in frames if not f.filename.startswith((*_NOT_THE_MODELS, _OURS, "<"))]
    return f" at {own[-1].filename}:{own[-1].lineno}, `{own[-1].line}`" if own else ""
