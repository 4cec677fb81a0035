"""Keep a model's parameters as they are while its graph runs."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence, Set
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TypeVar
from weakref import WeakKeyDictionary, WeakSet

from torch import nn

from .graph import Graph
from .hooks import hooks_see
from .node import Node
from .user_call import Traces, Unguardable, parameters_kept

T = TypeVar("T")
_HARMLESS: WeakKeyDictionary[Graph, set[str]] = WeakKeyDictionary()
"""{graph: nodes that have run and written into no parameter}"""
_WRITTEN: WeakKeyDictionary[nn.Module, set[str]] = WeakKeyDictionary()
"""{model: parameters that its forward has written into}"""
_UNWATCHABLE: WeakSet[nn.Module] = WeakSet()


def run_kept(graph: Graph, nodes: Sequence[Node], run: Callable[[], T]) -> T:
    """The result of a run of these nodes; parameters that it would write into stay as they are.

    Where it writes into some, it runs on copies of these, which its result may hold: a mirror
    needs the weights of the run. They are found by a first run.

    Watching for writes takes a few microseconds an operation: nodes that have been seen not to
    write are not watched again, unless hooks see them, which may do anything. A model that cannot
    be watched is run as it is; ``run`` is called a second time then.

    Raises:
        ValueError: a parameter is written into that was not asked of the model.
    """
    known = _WRITTEN.setdefault(graph.model, set())
    while True:
        traces = Traces()
        try:
            with kept(graph, nodes, traces), _on_copies(graph.model, known):
                result = run()
        except Unguardable:
            _UNWATCHABLE.add(graph.model)
            return run()
        if not traces.written:
            if not known and not hooks_see(nodes):
                _HARMLESS.setdefault(graph, set()).update(node.name for node in nodes)
            return result
        if traces.parameters <= known:
            raise ValueError(
                f"{min(traces.parameters)} of {type(graph.model).__name__} is written into while "
                "the model runs, by code that does not take it from the model (a hook, or a "
                "function that holds it); it has its old values again: let that code ask the "
                "module for the parameter, or write into a buffer"
            )
        known |= traces.parameters


def writes(model: nn.Module) -> bool:
    """Whether a run of a model was seen to write into its parameters."""
    return bool(_WRITTEN.get(model))


def kept(
    graph: Graph, nodes: Sequence[Node] | None, traces: Traces | None = None
) -> AbstractContextManager[None]:
    """The same for a run within a context, of a model that ``run_kept`` has run before.

    Its result holds no parameters. ``nodes`` are None where the model itself runs, whatever its
    graph does.
    """
    known = _HARMLESS.get(graph, ())
    seen = nodes is not None and all(node.name in known for node in nodes)
    if seen or graph.model in _UNWATCHABLE:
        return nullcontext()
    return parameters_kept(graph.model, traces)


@contextmanager
def _on_copies(model: nn.Module, paths: Set[str]) -> Iterator[None]:
    """For a while, a model has copies of some of its parameters, wherever it holds them."""
    if not paths:
        yield
        return
    copies = {
        id(one): nn.Parameter(one.detach().clone(), requires_grad=one.requires_grad)
        for path, one in model.named_parameters()
        if path in paths
    }
    places = [
        (module._parameters, name, one)
        for module in model.modules()
        for name, one in module._parameters.items()
        if id(one) in copies
    ]
    try:
        for held, name, one in places:
            held[name] = copies[id(one)]
        yield
    finally:
        for held, name, one in places:
            held[name] = one
