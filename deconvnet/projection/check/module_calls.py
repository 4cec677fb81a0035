"""The values of a model while its user's call runs: which call of which module is which node."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import Hooks
from deconvnet.graph.node import filled

from .tolerance import tensors


def calls_of(graph: Graph) -> dict[nn.Module, list[str]]:
    """{module: names of its calls, in order}, of the modules whose output is a node."""
    found: dict[nn.Module, list[str]] = defaultdict(list)
    modules = dict(graph.model.named_modules(remove_duplicate=False))
    for node in graph:
        if node.module is not None:
            found[modules[str(node.call.target)]].append(node.name)
        elif isinstance(node.call.target, Hooks) and node.call.target.after:
            found[modules[node.call.target.path]].append(node.name)
    return dict(found)


@contextmanager
def captured(
    calls: Mapping[nn.Module, Sequence[str]],
    meet: Callable[[str, Any], Any],
    *,
    heed: Callable[[], bool],
) -> Iterator[None]:
    """While the model runs, tell what each call of a module gave, after hooks of the user's."""
    thread = threading.get_ident()

    def watch(module: nn.Module, names: Iterator[str]) -> Any:
        def tell(_: nn.Module, __: Any, output: Any) -> Any:
            name = next(names, None) if heed() and threading.get_ident() == thread else None
            return None if name is None else meet(name, output)

        tell.of_the_check = True  # type: ignore[attr-defined]
        return module.register_forward_hook(tell)

    with ExitStack() as stack:
        for module, names in calls.items():
            if isinstance(module, torch.jit.ScriptModule):
                continue  # these take no hooks
            stack.callback(watch(module, iter(names)).remove)
        yield


def by_node(graph: Graph, output: Any) -> dict[str, Tensor]:
    """{node: the model's own tensor} of what a model returns."""
    names = {name: name for name in graph.returned}
    words = filled(graph.output, graph.names, names)
    flat = [w for w in _flat(words) if w in names]
    values = list(tensors(output))
    return dict(zip(flat, values, strict=True)) if len(flat) == len(values) else {}


def _flat(part: Any) -> Iterator[str]:
    if isinstance(part, str):
        yield part
    elif isinstance(part, (tuple, list)):
        for one in part:
            yield from _flat(one)
    elif isinstance(part, dict):
        yield from _flat(list(part.values()))
