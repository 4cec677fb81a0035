"""Watch the hooks of a user's: one that only looks does not run again for us."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import repeat
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from .hook_runs import Entry, Ran
from .hook_shapes import Given
from .hooks import MAKE_WEIGHTS, Hooks, after_hooks, before_hooks, watched
from .model_state import modules_of
from .node import Node

_Known = WeakKeyDictionary[nn.Module, dict[int, int]]
_LOOK_ON: _Known = WeakKeyDictionary()
"""{module: {number: id of a hook}} of those that were seen to look at values and change nothing.

Not the hook itself: it may hold its module, which would then never be freed.
"""
_CHANGING: _Known = WeakKeyDictionary()
"""The same of hooks that have changed something."""
_REVOKED: WeakKeyDictionary[nn.Module, int] = WeakKeyDictionary()


class _Observed:
    """A hook of a user's, whether it has changed anything yet, and what it gave.

    In a ``quiet`` call, which is one of the graph's beside the model, it gives the same again.
    """

    remembers = True  # the shapes that the hook gave

    def __init__(
        self,
        hook: Any,
        quiet: Callable[[], bool],
        *,
        number: int,
        own: Callable[[], bool] = lambda: False,
        looks_on: bool | None = None,
    ) -> None:
        self.hook, self.quiet, self.own, self.looks_on = hook, quiet, own, looks_on
        self.number = number
        self.runs: deque[Ran | bool] = deque()  # False: it must run; True: it changed nothing

    def __call__(self, module: nn.Module, *given: Any) -> Any:
        if self.quiet():
            return self._again(module, given)
        entry = Entry(given)
        result = self._run(module, given)
        same = result is None and not entry.written
        self.looks_on = same and self.looks_on is not False
        if self.own():
            self.runs.append(same or entry.ran(result) or False)
        return result

    def _again(self, module: nn.Module, given: tuple[Any, ...]) -> Any:
        ran = self.runs.popleft() if self.runs else self.looks_on
        if ran is True:
            return None
        again = ran.again(given) if isinstance(ran, Ran) else None
        return self._run(module, given) if again is None else again[0]

    def _run(self, module: nn.Module, given: tuple[Any, ...]) -> Any:
        shapes = Given(module, self.number, given)
        with _within():
            result = self.hook(module, *given)
        shapes.gave(result)
        return result


class _Depth(threading.local):
    """How many hooks are running inside each other in this thread."""

    now = 0


_DEPTH = _Depth()


@contextmanager
def _within() -> Iterator[None]:
    _DEPTH.now += 1
    try:
        yield
    finally:
        _DEPTH.now -= 1


def in_a_hook() -> bool:
    """Whether what runs now was called by a hook, and not by the model."""
    return _DEPTH.now > 0


class _Sized(_Observed):
    """A hook that gives zeros of the shapes it gave before; it runs where these are not known."""

    def _again(self, module: nn.Module, given: tuple[Any, ...]) -> Any:
        if self.looks_on:
            return None
        shapes = Given(module, self.number, given)
        if shapes.can_be_told and not shapes.are_known:
            self._run(module, pytree.tree_map_only(Tensor, Tensor.clone, given))
        again = shapes.again()
        return self._run(module, given) if again is None else again[0]


@contextmanager
def observed(
    model: nn.Module,
    *,
    own: Callable[[], bool],
    quiet: Callable[[], bool],
    sealed: Collection[nn.Module],
) -> Iterator[None]:
    """Watch the hooks of a model; where they ran with it, they do not run again beside it.

    ``own`` tells whether a call of a module is one of the model's, ``quiet`` whether it is one of
    ours beside it; hooks of ``sealed`` modules run where nobody sees it if they change their mind
    later.
    """
    places = [
        (place, _Observed(place.hook, quiet, number=place.number, own=own))
        for place in _places(model)
        if not isinstance(place.hook, _Observed) and not hasattr(place.hook, "of_the_check")
    ]
    try:
        for place, watch in places:
            place.hooks[place.number] = watch
        yield
    finally:
        for (module, hooks, number, hook), watch in places:
            if hooks.get(number) is watch:
                hooks[number] = hook
            _LOOK_ON.setdefault(module, {}).pop(number, None)
            if watch.looks_on and module not in sealed:
                _LOOK_ON[module][number] = id(hook)
            if watch.looks_on is False:
                _CHANGING.setdefault(module, {})[number] = id(hook)


@contextmanager
def without_onlookers(model: nn.Module) -> Iterator[None]:
    """For a while, this thread does not run hooks that were seen to change nothing."""
    with _replaced([place for place in _places(model) if _is_in(_LOOK_ON, *place)]):
        yield


@contextmanager
def without_hooks_of(model: nn.Module) -> Iterator[None]:
    """For a while, this thread runs no hooks but those that make weights."""
    with _replaced(_places(model)):
        yield


@contextmanager
def sizes_alone(model: nn.Module) -> Iterator[None]:
    """For a while, hooks give this thread zeros of the shapes that they gave before.

    Those that were seen to change nothing do not run; others run where the shapes are not known.
    """
    places = _places(model)
    seen = [(_is_in(_LOOK_ON, *place), _is_in(_CHANGING, *place)) for place in places]
    looks_on = [True if looks else False if changes else None for looks, changes in seen]
    with _replaced(places, _Sized, looks_on):
        yield


class _Place(NamedTuple):
    """A hook of a user's, and where it is kept."""

    module: nn.Module
    hooks: dict[int, Any]  # of the module, before or after it
    number: int
    hook: Any


def _places(model: nn.Module) -> list[_Place]:
    """The hooks of all modules, without those that make weights."""
    return [
        _Place(module, hooks, number, hook)
        for module in model.modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
        for number, hook in hooks.items()
        if not isinstance(hook, MAKE_WEIGHTS)
    ]


@contextmanager
def _replaced(
    places: Sequence[_Place],
    kind: type[_Observed] | None = None,
    looks_on: Iterable[bool | None] = repeat(True),
) -> Iterator[None]:
    """For a while, something else stands for these hooks in this thread."""
    thread = threading.get_ident()
    try:
        for (_, hooks, number, hook), looks in zip(places, looks_on, strict=False):
            hooks[number] = (kind or _Observed)(
                hook, lambda: threading.get_ident() == thread, number=number, looks_on=looks
            )
        yield
    finally:
        for _, hooks, number, hook in places:
            if number in hooks:  # else it was taken away meanwhile
                hooks[number] = hook


def _is_in(known: _Known, module: nn.Module, _: object, number: int, hook: Any) -> bool:
    return known.get(module, {}).get(number) == id(hook)


def looks_on(module: nn.Module, number: int, hook: Any) -> bool:
    """Whether a hook was seen to change nothing, while the model was compared with its graph."""
    own = hook.hook if isinstance(hook, _Observed) else hook
    return _LOOK_ON.get(module, {}).get(number) == id(own)


def changing(module: nn.Module, hooks: Mapping[int, Any]) -> bool:
    """Whether one of these hooks of a module has changed something before."""
    known = _CHANGING.get(module, {})
    return any(
        hook.looks_on is False if isinstance(hook, _Observed) else known.get(number) == id(hook)
        for number, hook in hooks.items()
    )


def began_to_change(module: nn.Module, hooks: Mapping[int, Any]) -> None:
    """Note that one of these hooks of a module has changed something: all run each time now."""
    revoke(module)
    plain = {n: id(h.hook if isinstance(h, _Observed) else h) for n, h in hooks.items()}
    _CHANGING.setdefault(module, {}).update(plain)


def may_change(nodes: Iterable[Node]) -> bool:
    """Whether hooks at these nodes may change values: one is not known to look on only."""
    return any(
        _LOOK_ON.get(module, {}).get(number) != id(hook)
        for module in map(_with_hooks, nodes)
        if module is not None
        for number, hook in {**before_hooks(module), **after_hooks(module)}.items()
        if not isinstance(hook, MAKE_WEIGHTS)
    )


def hooks_in(model: nn.Module) -> dict[tuple[str, int], bool]:
    """{(path of a module, number of a hook): whether it may change values}."""
    return {
        (path, number): _LOOK_ON.get(module, {}).get(number) != id(hook)
        for path, module in model.named_modules()
        for hooks in (module._forward_pre_hooks, module._forward_hooks)
        for number, hook in hooks.items()
        if not isinstance(hook, MAKE_WEIGHTS)
    }


def _with_hooks(node: Node) -> nn.Module | None:
    if isinstance(node.call.target, Hooks):
        return node.call.target.module
    return node.module if node.module is not None and watched(node.module) else None


def revoke(module: nn.Module) -> None:
    """Note that hooks of a module have changed something: they must run each time."""
    if _LOOK_ON.pop(module, None):
        _REVOKED[module] = _REVOKED.get(module, 0) + 1


def revoked(model: nn.Module) -> int:
    """How often ``revoke`` has taken effect in a model."""
    return sum(_REVOKED.get(module, 0) for module in modules_of(model)) if _REVOKED else 0
