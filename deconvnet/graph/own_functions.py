"""Keep each of a user's ``autograd.Function``s as one operation, with its own backward."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from types import FunctionType
from typing import Any

import torch
from torch.autograd import Function
from torch.utils.checkpoint import CheckpointFunction

from .hooks import Arrangement

Hide = Callable[[Any, tuple[Any, ...], Callable[[], Any]], Any]


class Applied:
    """Calls of an ``autograd.Function``."""

    def __init__(self, function: type[Function]) -> None:
        self.function = function
        self.__name__ = function.__name__
        self.identity: object = id(function)

    def __call__(self, *args: Any) -> Any:
        """Apply it, with its own backward."""
        return self.function.apply(*args)


class Placed(Applied):
    """Calls of one with its tensors alone as arguments; the others are known."""

    def __init__(self, function: type[Function], rest: Arrangement) -> None:
        super().__init__(function)
        self.rest = rest
        self.identity = id(function), rest.identity

    def __call__(self, *tensors: Any) -> Any:
        """Apply it, with its own backward."""
        return super().__call__(*self.rest.filled(tensors))


@contextmanager
def kept_whole(hide: Hide) -> Iterator[None]:
    """While a model is read, let the forward of every such function be one operation.

    ``apply`` cannot be replaced, since it may have been given other names; what it calls can.
    ``hide``: (the operation, its arguments, how to run it) -> what stands for the result.
    """
    own = [(cls, vars(cls).get("forward"), vars(cls).get("setup_context")) for cls in _all()]
    try:
        for cls, *_ in own:
            _replace(cls, hide)
        CheckpointFunction.forward = staticmethod(_entered)  # type: ignore[method-assign]
        yield
    finally:
        for cls, forward, setup in own:
            _restore(cls, "forward", forward)
            _restore(cls, "setup_context", setup)


@contextmanager
def in_place_of(
    functions: Sequence[FunctionType], make: Callable[[FunctionType], Callable[..., Any]]
) -> Iterator[None]:
    """Replace these functions wherever loaded modules hold them, under any name."""
    made = {id(function): make(function) for function in functions}
    modules = list(sys.modules.values()) if functions else []
    places = [
        (names, name, value)
        for names in (getattr(module, "__dict__", {}) for module in modules)
        for name, value in list(names.items())
        if id(value) in made
    ]
    try:
        for names, name, function in places:
            names[name] = made[id(function)]
        yield
    finally:
        for names, name, function in places:
            names[name] = function


def _all() -> list[type[Function]]:
    met, open_ = dict[type[Function], None](), [Function]
    while open_:
        below = open_.pop().__subclasses__()
        met.update(dict.fromkeys(below))
        open_ += below
    own = (cls for cls in met if not cls.__module__.startswith(("torch.", "deconvnet.")))
    return [CheckpointFunction, *own]


def _replace(cls: Any, hide: Hide) -> None:
    forward, setup = cls.forward, cls.setup_context
    split = setup is not Function.setup_context  # the context is not forward's to fill
    operation = Applied(cls)

    def hidden(*args: Any) -> Any:
        return hide(operation, args if split else args[1:], lambda: forward(*args))

    cls.forward = staticmethod(hidden)
    if split:
        cls.setup_context = staticmethod(lambda *_: None)


def _entered(ctx: Any, run: Callable[..., Any], preserve: bool, *args: Any) -> Any:
    """A checkpointed part is what it would be without."""
    with torch.enable_grad():
        return run(*args)


def _restore(cls: Any, name: str, before: Any) -> None:
    if before is not None:
        setattr(cls, name, before)
    elif name in vars(cls):
        delattr(cls, name)
