"""Tracing past a model's own helper functions that decide by sizes."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from functools import wraps
from types import FrameType, FunctionType, MappingProxyType
from typing import Any

from torch import fx, nn
from torch.utils import _pytree as pytree

from .fx_tracing import Tracer
from .inplace import is_number
from .own_functions import kept_whole


def follow(
    model: nn.Module, inputs: Mapping[str, Any] = MappingProxyType({})
) -> tuple[fx.Graph, Tracer]:
    """Trace a model; a helper that torch.fx cannot enter becomes a node if it sees sizes alone.

    "Same" padding is computed by such helpers, ``max(needed - length, 0)``. No signal passes
    them, so that nothing is lost when they are not looked into.

    Returns:
        the traced graph, and the tracer, which knows the names of its nodes.

    Raises:
        Halted: whatever stops torch.fx elsewhere.
    """
    closed: list[FunctionType] = []
    while True:
        tracer = Tracer(inputs)
        try:
            with _closed(closed, tracer), kept_whole(tracer.hide):
                return tracer.trace(model), tracer
        except Exception as error:
            helper = _helper(error)
            if helper is None or helper in closed:
                raise Halted(error, tracer) from error
            closed.append(helper)


class Halted(Exception):
    """Where torch.fx could not go on.

    Args:
        error: what stopped it.
        tracer: it has the nodes up to there.
    """

    def __init__(self, error: Exception, tracer: Tracer) -> None:
        super().__init__(str(error))
        self.error, self.tracer = error, tracer


def _helper(error: Exception) -> FunctionType | None:
    """The innermost function of a module on the way to the error that was given sizes alone."""
    frames, trace = [], error.__traceback__
    while trace is not None:
        frames.append(trace.tb_frame)
        trace = trace.tb_next
    for frame in reversed(frames):
        function = frame.f_globals.get(frame.f_code.co_name)
        if isinstance(function, FunctionType) and function.__code__ is frame.f_code:
            given = _proxies(frame)
            if given and all(is_number(proxy.node) for proxy in given):
                return function
    return None


def _proxies(frame: FrameType) -> list[fx.Proxy]:
    """The traced values among the arguments of a call."""
    code = frame.f_code
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    leaves = pytree.tree_leaves([frame.f_locals.get(name) for name in names])
    return [leaf for leaf in leaves if isinstance(leaf, fx.Proxy)]


@contextmanager
def _closed(functions: list[FunctionType], tracer: Tracer) -> Iterator[None]:
    """Wherever modules hold these functions, calls of them with traced values become nodes."""
    places = [
        (vars(module), function)
        for function in functions
        for module in list(sys.modules.values())
        if getattr(module, "__dict__", {}).get(function.__name__) is function
    ]
    try:
        for names, function in places:
            names[function.__name__] = _as_node(function, tracer)
        yield
    finally:
        for names, function in places:
            names[function.__name__] = function


def _as_node(function: FunctionType, tracer: Tracer) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, fx.Proxy) for x in pytree.tree_leaves((args, kwargs))):
            return tracer.create_proxy("call_function", function, args, kwargs)
        return function(*args, **kwargs)

    return call
