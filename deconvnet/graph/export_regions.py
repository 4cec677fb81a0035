"""Inline the regions of an exported graph that ``no_grad`` or ``autocast`` have set apart."""

from __future__ import annotations

import operator
from typing import Any

import torch
from torch import fx

from .node_state import PLAIN, State


def inlined(module: fx.GraphModule) -> None:
    """Put the nodes of each region in its place; each keeps the state it runs in.

    torch.export makes a graph of its own of what runs within ``torch.no_grad`` or ``autocast``.
    """
    graph = module.graph
    for call in [node for node in graph.nodes if _kind(node)]:
        place = 1 if _kind(call) == "wrap_with_set_grad_enabled" else 4
        region = getattr(module, str(call.args[place].target))
        inlined(region)
        places = [node for node in region.graph.nodes if node.op == "placeholder"]
        values = dict(zip(places, call.args[place + 1 :], strict=True))
        results: Any = ()
        for node in region.graph.nodes:
            if node.op == "output":
                results = fx.map_arg(node.args[0], values.__getitem__)
            elif node.op != "placeholder":
                with graph.inserting_before(call):
                    values[node] = graph.node_copy(node, values.__getitem__)
                _within(values[node], call)
        _taken(graph, call, results)


def state_of(node: fx.Node) -> State:
    """The state a node of an exported graph runs in."""
    grad, autocast = node.meta.get("grad", True), node.meta.get("autocast", {})
    on = tuple((device, dtype) for device, dtype in autocast.items() if dtype is not None)
    return State(grad, on) if on or not grad else PLAIN


def _kind(node: fx.Node) -> str:
    name = getattr(node.target, "__name__", "") if node.op == "call_function" else ""
    return name if name in ("wrap_with_set_grad_enabled", "wrap_with_autocast") else ""


def _within(node: fx.Node, call: fx.Node) -> None:
    """Note what a region sets, unless one inside of it has set it otherwise."""
    if _kind(call) == "wrap_with_set_grad_enabled":
        node.meta.setdefault("grad", bool(call.args[0]))
        return
    device, dtype, enabled = call.args[:3]
    precision = dtype if dtype is not None else torch.get_autocast_dtype(str(device))
    node.meta["autocast"] = {
        str(device): precision if enabled else None,
        **node.meta.get("autocast", {}),
    }


def _taken(graph: fx.Graph, call: fx.Node, results: Any) -> None:
    """Let readers of a region's results read the nodes that compute them."""
    for reader in list(call.users):
        assert reader.target is operator.getitem, "a region gives a tuple"
        reader.replace_all_uses_with(results[reader.args[1]])
        graph.erase_node(reader)
    graph.erase_node(call)
