"""Tracing past a model's own helper functions that decide by sizes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial, wraps
from types import FrameType, FunctionType, MappingProxyType
from typing import Any

from torch import fx, nn
from torch.utils import _pytree as pytree

from deconvnet.layers import Mirrors

from .fx_tracing import Tracer
from .inplace import is_number
from .own_functions import in_place_of, kept_whole


def follow(
    model: nn.Module,
    inputs: Mapping[str, Any] = MappingProxyType({}),
    mirrors: Mirrors | None = None,
) -> tuple[fx.Graph, Tracer]:
    """Trace a model; a helper that torch.fx cannot enter becomes a node if it sees sizes alone.

    "Same" padding is computed by such helpers, ``max(needed - length, 0)``. No signal passes
    them, so that nothing is lost when they are not looked into. So do functions with a mirror.

    Returns:
        the traced graph, and the tracer, which knows the names of its nodes.

    Raises:
        Halted: whatever stops torch.fx elsewhere.
    """
    mirrors = mirrors or Mirrors()
    closed = mirrors.functions
    while True:
        tracer = Tracer(inputs, mirrors)
        try:
            with in_place_of(closed, partial(_as_node, tracer)), kept_whole(tracer.hide):
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


def _as_node(tracer: Tracer, function: FunctionType) -> Callable[..., Any]:
    @wraps(function)
    def call(*args: Any, **kwargs: Any) -> Any:
        if any(isinstance(x, fx.Proxy) for x in pytree.tree_leaves((args, kwargs))):
            return tracer.create_proxy("call_function", function, args, kwargs)
        return function(*args, **kwargs)

    return call
