"""Collapse the nodes of one module or function in an exported graph into one node."""

from __future__ import annotations

import operator
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from deconvnet.layers import Mirrors

aten = torch.ops.aten

FIRST_OF_TWO: dict[Any, Callable[..., Any]] = {
    aten.adaptive_max_pool1d.default: F.adaptive_max_pool1d,
    aten.adaptive_max_pool2d.default: F.adaptive_max_pool2d,
    aten.adaptive_max_pool3d.default: F.adaptive_max_pool3d,
}
"""Operations that always give the places too, and the functions that give the values alone."""

Leaf = Callable[[nn.Module, str], bool]


def collapse(
    graph: fx.Graph, modules: Mapping[str, nn.Module], leaf: Leaf, mirrors: Mirrors
) -> None:
    """Replace the nodes of a module, or of a composite function, by one call of it.

    An activation such as softsign is several operations to torch.export, and a rectifier rules
    none of them; local response normalisation is another policy's. As one call they are read as
    if torch.fx had found them.
    The graph is one without writes, whose parameters and buffers are ``get_attr`` nodes.
    """
    groups: dict[tuple[str, str], list[fx.Node]] = defaultdict(list)
    made: dict[tuple[str, str], Any] = {}
    for node in graph.nodes:
        if node.op == "call_function":
            key, target = _caller(node, modules, leaf, mirrors)
            if key is not None:
                groups[key].append(node)
                made[key] = target
    for key, nodes in groups.items():
        _replace(graph, nodes, made[key])
    for node in list(graph.nodes):
        if node.target in FIRST_OF_TWO:
            _first_alone(graph, node)


def called(node: fx.Node) -> str:
    """The name of the torch function that was called: "relu", "__getitem__"; "" if unknown."""
    kind, _, name = str(node.meta.get("torch_fn", ("", ""))[1]).rpartition(".")
    return "" if kind.startswith("OpOverload") else name


def _caller(node: fx.Node, modules: Mapping[str, nn.Module], leaf: Leaf, mirrors: Mirrors) -> Any:
    """What a node is a part of: the call's key, and the path of a module or the function."""
    for key, (path, *_) in node.meta.get("nn_module_stack", {}).items():
        if path in modules and leaf(modules[path], path):
            whole = mirrors.of_module(modules[path]) is not None
            return (("module", key), path) if whole else (None, None)
    if called(node) in COMPOSITES:
        return ("function", node.meta["torch_fn"][0]), COMPOSITES[called(node)]
    return None, None


def _replace(graph: fx.Graph, nodes: Sequence[fx.Node], made: Any) -> None:
    """Replace nodes by one, if one tensor enters them and one leaves."""
    inside = set(nodes)
    entering = dict.fromkeys(
        source
        for node in nodes
        for source in node.all_input_nodes
        if source not in inside and source.op != "get_attr"
    )
    inputs = [source for source in entering if isinstance(source.meta.get("val"), Tensor)]
    outputs = [node for node in nodes if set(node.users) - inside] or [nodes[-1]]
    if len(inputs) != 1 or len(outputs) != 1:
        return
    with graph.inserting_before(outputs[0]):
        if isinstance(made, str):
            whole = graph.create_node("call_module", made, (inputs[0],))
        else:
            function, rest = made
            whole = graph.call_function(function, (inputs[0], *rest(nodes)))
    whole.meta = dict(outputs[0].meta)
    outputs[0].replace_all_uses_with(whole)
    for node in reversed(nodes):
        graph.erase_node(node)


def _first_alone(graph: fx.Graph, node: fx.Node) -> None:
    """``adaptive_max_pool2d(x, 3)[0]`` without the places, if nobody reads them."""
    readers = list(node.users)
    if any(user.target is not operator.getitem or user.args[1] != 0 for user in readers):
        return
    with graph.inserting_before(node):
        whole = graph.call_function(FIRST_OF_TWO[node.target], node.args)
    whole.meta = dict(readers[0].meta if readers else node.meta)
    for reader in readers:
        reader.replace_all_uses_with(whole)
        graph.erase_node(reader)
    graph.erase_node(node)


def _response_arguments(nodes: Sequence[fx.Node]) -> tuple[Any, ...]:
    """Size, alpha, beta and k of local response normalisation, from what it is made of."""
    second: dict[str, Any] = {}
    for node in nodes:
        name = getattr(node.target, "__name__", "").partition(".")[0]
        if len(node.args) > 1 and isinstance(node.args[1], (int, float, list, tuple)):
            second[name] = node.args[1]
    window = second["avg_pool3d"] if "avg_pool3d" in second else second["avg_pool2d"]
    return int(window[0]), second["mul"], second["pow"], second["add"]


COMPOSITES: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "softsign": (F.softsign, lambda nodes: ()),
    "tanhshrink": (F.tanhshrink, lambda nodes: ()),
    "local_response_norm": (F.local_response_norm, _response_arguments),
}
"""Functions that torch.export takes apart and that a policy may rule; how to find the arguments."""
