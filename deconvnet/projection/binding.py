"""Bind a call of the model to its mirrored layer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooked, without_hooks
from deconvnet.graph.node import Node
from deconvnet.layers import MirroredLayer, Policies
from deconvnet.layers.mirrors import fits

from .hooked_calls import Bound

Call = tuple[tuple[Any, ...], dict[str, Any]]
Bindings = dict[tuple[str, Policies], MirroredLayer]
"""{(node, policies): its layer on windows} for a model in one state and images of one size."""


def bind(graph: Graph, node: Node, call: Call, carried: Mapping[str, Any]) -> Bound | None:
    """The mirrored layer of a call; None if the table does not know it, or not all that it takes.

    ``carried``: {node: value} of those that carry a signal.
    """
    (args, kwargs), module = call, node.module
    if module is None:
        reader = graph.mirrors.of_call(node.call.target)
    else:
        if graph.mirrors.is_own(module) and hooked(module):
            module = without_hooks(module)  # a user's mirror may call it; they are steps themselves
        reader, args = graph.mirrors.of_module(module), (module, *args)
    if reader is None or not fits(reader, args, kwargs):
        return None
    read = reader(*args, **kwargs)
    if read is None:
        return None
    names = {id(value): source for source, value in carried.items()}
    sources = tuple(names.get(id(value)) for value in read[1])
    return (*read, sources) if set(carried) <= set(sources) else None
