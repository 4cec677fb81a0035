"""The values that hooks are shown in a forward pass, to notice where one uses what another kept."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator, Sequence
from itertools import count
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.layers.functional import leaf

_MARK = "shown_by_deconvnet"
_NUMBERS = count()
_WITHOUT_DERIVATIVES: weakref.WeakSet[nn.Module] = weakref.WeakSet()
"""Modules with a hook that fails on values with a derivative, as ``numpy`` does."""


class Kept(ValueError):
    """A hook computes with a value that it was not given in this call: another one kept it.

    Attributes:
        name: of the node at which it was shown.
    """

    def __init__(self, name: str, own: str) -> None:
        super().__init__(
            f"a hook at {own} computes with a value that a hook at {name} was shown and has kept: "
            "a signal goes to what a hook is given, and to nothing else; do it in forward, or in "
            "one hook of a module that contains both"
        )
        self.name = name


class Shown:
    """The values that the hooks of one pass were shown."""

    def __init__(self) -> None:
        self._number = next(_NUMBERS)
        self._copies: list[weakref.ref[Tensor]] = []

    def look(self, module: nn.Module, name: str, run: Callable[[Any], Any], given: Any) -> Any:
        """Run hooks on copies of values, which have a derivative as in a call of the user's.

        They lie in memory as in any call of the model: a hook may take a ``view`` of them.

        Returns:
            the copies, and what was made of them.
        """
        if module not in _WITHOUT_DERIVATIVES:
            leaves = pytree.tree_map(leaf, given)
            self.mark(leaves, name)
            try:
                with torch.enable_grad():
                    copies = _copied(leaves)
                    made = run(copies)
            except RuntimeError:
                _WITHOUT_DERIVATIVES.add(module)
            else:
                tensors = [x for x in pytree.tree_leaves(copies) if isinstance(x, Tensor)]
                self._copies += map(weakref.ref, tensors)
                return copies, made
        copies = _copied(given)
        return copies, run(copies)

    def mark(self, leaves: Any, name: str) -> None:
        """Note where leaves of autograd's are shown to hooks, also by what is made of them."""
        for one in pytree.tree_leaves(leaves):
            if isinstance(one, Tensor) and one.requires_grad:
                setattr(one, _MARK, (self._number, name))

    def refuse_kept(self, outputs: Sequence[Tensor | None], leaves: Any, name: str) -> None:
        """Refuse what is made of values that were shown elsewhere in this pass.

        Raises:
            Kept: the outputs are.
        """
        own = {id(one) for one in pytree.tree_leaves(leaves)}
        for value in _made_of(outputs):
            number, where = getattr(value, _MARK, (None, ""))
            if number == self._number and id(value) not in own:
                raise Kept(where, name)

    def end(self) -> None:
        """Whoever has kept a copy has a plain value from now on."""
        for reference in self._copies:
            one = reference()
            if one is not None and one.requires_grad and not one._is_view():
                one.detach_()
        self._copies.clear()


def _copied(given: Any) -> Any:
    return pytree.tree_map_only(
        Tensor, lambda x: x.clone(memory_format=torch.contiguous_format), given
    )


def _made_of(outputs: Sequence[Tensor | None]) -> Iterator[Tensor]:
    """The leaves of autograd's graph under some tensors."""
    open_ = [out.grad_fn for out in outputs if out is not None and out.grad_fn is not None]
    met = set(open_)
    while open_:
        step = open_.pop()
        if hasattr(step, "variable"):
            yield step.variable
        below = [one for one, _ in step.next_functions if one is not None and one not in met]
        met.update(below)
        open_ += below
