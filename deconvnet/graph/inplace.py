"""Replace in-place operations of a traced graph by operations that make new values."""

from __future__ import annotations

import inspect
import operator
from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, fx, nn

from .node import Node

IN_PLACE = {
    operator.iadd,
    operator.isub,
    operator.imul,
    operator.itruediv,
    operator.ifloordiv,
    operator.ipow,
}


def functionalize(traced: fx.Graph, modules: Mapping[str, nn.Module]) -> None:
    """Let later readers of a tensor that was written into read the result of the write.

    After ``relu_(x)`` everybody who reads ``x`` reads the rectified values; in the graph they
    become readers of ``relu_``, so that every node has a single value.
    """
    calls = list(traced.nodes)
    for place, call in enumerate(calls):
        if not mutates(call, modules):
            continue
        target = call.args[0]
        if not isinstance(target, fx.Node) or is_number(target):
            continue
        for later in calls[place + 1 :]:
            later.replace_input_with(target, call)


def unseen_write(traced: fx.Graph, modules: Mapping[str, nn.Module], root: nn.Module) -> str:
    """The parameter that forward writes into where no node shows it to who reads it; else "".

    Modules of torch read their own parameters, and whoever reads one again after a write into its
    ``data`` reads another value of the graph's.
    """
    parameters = dict(root.named_parameters(remove_duplicate=False))
    called = [modules[str(call.target)] for call in traced.nodes if call.op == "call_module"]
    read = {id(one) for module in called for one in module.parameters()}
    for call in traced.nodes:
        target = call.args[0] if call.args and mutates(call, modules) else None
        part = False
        while isinstance(target, fx.Node) and target.op in ("call_function", "call_method"):
            views = target.op == "call_method" or target.target is getattr
            target, part = (target.args[0] if views and target.args else None), True
        if not isinstance(target, fx.Node) or target.op != "get_attr":
            continue
        path = str(target.target)
        if path in parameters and (part or id(parameters[path]) in read):
            return path
    return ""


def mutates(call: fx.Node, modules: Mapping[str, nn.Module]) -> bool:
    """Whether a node writes into its first argument."""
    if call.op == "call_module":
        return bool(getattr(modules[str(call.target)], "inplace", False))
    if call.op == "call_method":
        return _says_in_place(str(call.target))
    if call.op != "call_function":
        return False
    function: Any = call.target
    if function in IN_PLACE:
        return not (call.args and isinstance(call.args[0], fx.Node) and is_number(call.args[0]))
    return asks_in_place(function, call.args, call.kwargs)


def _says_in_place(name: str) -> bool:
    return name.endswith("_") and not name.endswith("__")


def asks_in_place(function: Any, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
    """Whether a call of a function writes into its first argument: by its name, or ``inplace``."""
    if _says_in_place(getattr(function, "__name__", "")):
        return True
    if "inplace" in kwargs:
        return bool(kwargs["inplace"])
    try:
        names = list(inspect.signature(function).parameters)
    except (ValueError, TypeError):
        return False
    place = names.index("inplace") if "inplace" in names else len(args)
    return place < len(args) and bool(args[place])


def is_number(call: fx.Node) -> bool:
    """True for sizes and what is computed from them."""
    if call.op == "call_method":
        return call.target in ("size", "dim", "numel", "item")
    if call.op != "call_function":
        return False
    if call.target is getattr:
        return call.args[1] in ("shape", "ndim")
    return bool(call.all_input_nodes) and all(is_number(n) for n in call.all_input_nodes)


def refuse_written(node: Node, sources: Sequence[str | None], readers: Mapping[str, int]) -> None:
    """Refuse a function that wrote into a tensor which is read afterwards."""
    for source in sources:
        if source is not None and readers[source] > 1:
            raise ValueError(
                f"{node.name} ({node.kind}) writes into {source}, which is read later; let it "
                "return a new tensor, and use that one"
            )


def refuse_shared(node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> None:
    """Refuse an in-place operation on a tensor of which another node holds a view."""
    target = values[node.sources[0]]
    if not isinstance(target, Tensor):
        return
    for name, other in values.items():
        shares = (
            isinstance(other, Tensor)
            and other.untyped_storage().data_ptr() == target.untyped_storage().data_ptr()
        )
        if shares and name != node.sources[0] and readers[name] > 0:
            raise ValueError(
                f"{node.name} writes in place into a tensor of which {name} is a view that is "
                "read later; make it out of place (inplace=False, or x = x + y for x += y)"
            )
