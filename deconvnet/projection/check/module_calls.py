"""Capture the values of a running model: which call of which module is which node."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import Hooks
from deconvnet.graph.observed_hooks import in_a_hook, observed, without_onlookers
from deconvnet.graph.signatures import called, image_argument
from deconvnet.graph.user_call import Traces, parameters_kept, without_traces

from .tolerance import agrees, difference, tensors

OUTPUT = "the model's output"
ONE_AT_A_TIME = threading.RLock()  # the model carries hooks of ours meanwhile


def calls_of(graph: Graph) -> dict[nn.Module, list[str]]:
    """{module: names of its calls, in order}, of the modules whose output is a node."""
    calls: dict[nn.Module, list[str]] = defaultdict(list)
    modules = dict(graph.model.named_modules(remove_duplicate=False))
    for node in graph:
        if node.module is not None:
            calls[modules[str(node.call.target)]].append(node.name)
        elif isinstance(node.call.target, Hooks) and node.call.target.after:
            calls[modules[node.call.target.path]].append(node.name)
    return dict(calls)


@contextmanager
def captured(
    graph: Graph, meet: Callable[[str, Any], Any], *, heed: Callable[[], bool]
) -> Iterator[None]:
    """While the model runs, tell what each call of a module gave, after hooks of the user's.

    The graph does not run these hooks too: it gets what they gave to the model.

    ``meet``: (node, value) -> what the model goes on with; None for the value itself. ``heed``
    tells whether it is the model that runs now, and not the graph beside it.
    """
    thread = threading.get_ident()
    reader = graph.mirrors.of_module
    sealed = {n.module for n in graph if n.module is not None and not reader(n.module)}

    def own() -> bool:
        return heed() and threading.get_ident() == thread and not in_a_hook()

    def quiet() -> bool:
        return not heed() and threading.get_ident() == thread

    def watch(module: nn.Module, names: Iterator[str]) -> Any:
        def tell(_: nn.Module, __: Any, output: Any) -> Any:
            name = next(names, None) if own() else None
            return None if name is None else meet(name, output)

        tell.of_the_check = True  # type: ignore[attr-defined]
        return module.register_forward_hook(tell)

    with ExitStack() as stack:
        stack.enter_context(observed(graph.model, own=own, quiet=quiet, sealed=sealed))
        for module, names in calls_of(graph).items():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # these take no hooks
            stack.callback(watch(module, iter(names)).remove)
        yield


def by_node(graph: Graph, output: Any) -> dict[str, Tensor]:
    """{node: the model's own tensor} of what a model returns."""
    leaves, values = pytree.tree_leaves(graph.output), list(tensors(output))
    names = [graph.names[leaf] for leaf in leaves if isinstance(leaf, fx.Node)]
    return dict(zip(names, values, strict=True)) if len(names) == len(values) else {}


@contextmanager
def untouched(model: nn.Module, *, guarded: bool = True) -> Iterator[Traces]:
    """On leaving, undo everything that the model has written or drawn.

    ``guarded``: parameters too; see ``parameters_kept`` for models that cannot be called so.
    """
    with without_traces(model) as traces:
        with parameters_kept(model, traces) if guarded else nullcontext():
            yield traces


def unsteady(graph: Graph, images: Tensor, *, calls: int, guarded: bool) -> list[str]:
    """Where a model gives several answers to one input: names of nodes and ``OUTPUT``, in order.

    Random branches that are rarely taken need many calls; for ``guarded`` see ``untouched``.
    """
    first: dict[str, Any] = {}
    differing: dict[str, None] = {}

    def meet(name: str, value: Any) -> None:
        if name not in first:
            first[name] = [one.detach().clone() for one in tensors(value)]
        elif not agrees(difference(value, first[name]), images.dtype):
            differing[name] = None

    argument = image_argument(graph.model, graph.inputs)
    kept = untouched(graph.model, guarded=guarded), without_onlookers(graph.model)
    with ONE_AT_A_TIME, kept[0], kept[1], torch.enable_grad():
        for _ in range(calls):
            given = images.detach().requires_grad_().clone()
            with captured(graph, meet, heed=lambda: True):
                try:
                    meet(OUTPUT, called(graph.model, given, graph.inputs, argument=argument))
                except Exception:  # of the model's own, which was told already
                    break
    return list(differing)
