"""The shapes that hooks gave, so that sizes are known without running the hooks again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .model_state import PLAIN, version_of

_MOST = 64  # shapes that are remembered of a module's hooks

_KNOWN: WeakKeyDictionary[nn.Module, dict[object, _Shapes]] = WeakKeyDictionary()
"""Plain data alone: a reference to the module would keep it alive."""


class Given:
    """The shapes of what a hook is about to be given.

    The number of images is left open, if it is the first size of every tensor.

    Args:
        module: whose hook.
        number: of the hook.
        values: the arguments of the hook behind the module.
    """

    def __init__(self, module: nn.Module, number: int, values: tuple[Any, ...]) -> None:
        self.module = module
        self.leaves, layout = pytree.tree_flatten(values)
        self.tensors = [x for x in self.leaves if isinstance(x, Tensor)]
        self._versions = [version_of(x) for x in self.tensors]
        counts = {x.shape[0] if x.ndim else None for x in self.tensors}
        self.count = counts.pop() if len(counts) == 1 else None
        told = tuple(map(self._told, self.leaves))
        self._key = None if None in told else (number, str(layout), self.count is None, told)

    def _told(self, leaf: Any) -> object:
        if isinstance(leaf, Tensor):
            return (leaf.shape if self.count is None else leaf.shape[1:]), leaf.dtype
        return (type(leaf), repr(leaf)) if isinstance(leaf, PLAIN) else None

    def gave(self, result: Any) -> None:
        """Remember the shapes of what the hook gave."""
        if self._key is None:
            return
        flat, layout = pytree.tree_flatten(result)
        places = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        made = [places.get(id(x), _Part.of(x, self.count)) for x in flat]
        parts = [part for part in made if part is not None]
        known = _KNOWN.setdefault(self.module, {})
        if len(known) >= _MOST:
            known.clear()
        known.pop(self._key, None)
        if len(parts) == len(flat):
            pairs = enumerate(zip(self.tensors, self._versions, strict=True))
            written = [i for i, (x, before) in pairs if version_of(x) != before]
            known[self._key] = _Shapes(parts, written, layout)

    @property
    def can_be_told(self) -> bool:
        """Whether all that is given is a tensor or a plain value."""
        return self._key is not None

    @property
    def are_known(self) -> bool:
        """Whether the hook has been given these shapes before."""
        return self._key in _KNOWN.get(self.module, {})

    def again(self) -> tuple[Any] | None:
        """Zeros of the shapes that the hook gave for these, in a tuple; None if it never has.

        They depend on all that was given, as far as autograd can tell.
        """
        shapes = _KNOWN.get(self.module, {}).get(self._key)
        if shapes is None:
            return None
        for i in shapes.written:
            self.tensors[i].copy_(self.tensors[i].clone())
        leaves = [
            self.leaves[part] if isinstance(part, int) else part.value(self.tensors, self.count)
            for part in shapes.parts
        ]
        return (pytree.tree_unflatten(leaves, shapes.layout),)


def forget(model: nn.Module) -> None:
    """Let the hooks of a model run again for the next sizes."""
    for module in model.modules():
        _KNOWN.pop(module, None)


@dataclass(frozen=True)
class _Part:
    """One leaf of what a hook gave: a tensor that it made, or a plain value."""

    plain: Any = None
    dtype: torch.dtype | None = None  # None for a plain value
    size: tuple[int, ...] = ()  # without the number of images, where that is open
    counted: bool = False

    @classmethod
    def of(cls, leaf: Any, count: int | None) -> _Part | None:
        if not isinstance(leaf, Tensor):
            return cls(leaf) if isinstance(leaf, PLAIN) else None
        counted = count is not None and leaf.shape[:1] == (count,)
        return cls(None, leaf.dtype, tuple(leaf.shape[counted:]), counted)

    def value(self, given: Sequence[Tensor], count: int | None) -> Any:
        if self.dtype is None:
            return self.plain
        size = (count, *self.size) if self.counted and count is not None else self.size
        made = torch.zeros(size, dtype=self.dtype, device=given[0].device if given else None)
        floats = [x.real if x.is_complex() else x for x in given if x.requires_grad]
        if not floats or not (made.is_floating_point() or made.is_complex()):
            return made
        return made + sum((0 * x.sum()).to(made) for x in floats)


@dataclass(frozen=True)
class _Shapes:
    parts: Sequence[int | _Part]  # the number of a given leaf, or what the hook made
    written: Sequence[int]  # which of the given tensors it wrote into
    layout: Any
