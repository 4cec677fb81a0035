"""Remove in-place writes from an exported graph, so that every node has a single value."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

aten = torch.ops.aten

SCATTERED: dict[Any, Any] = {
    aten.select.int: aten.select_scatter.default,
    aten.slice.Tensor: aten.slice_scatter.default,
}
"""A view → what makes the whole anew when the view was written into."""


def without_writes(graph: fx.Graph) -> None:
    """Turn ``relu_(x)`` into ``relu(x)``, and let whoever reads ``x`` later read that.

    Whoever holds a view of ``x``, or ``x`` itself where a view was written into, would see the
    write as well: ``x[:, 0] = 0`` makes a new ``x``; other views that are read later are refused.

    Raises:
        NotImplementedError: what was written into is read later through another view.
    """
    for call in list(graph.nodes):
        if not _writes(call):
            continue
        target, value = call.args[0], call
        _make_functional(call)
        _replace_later(graph, target, value)
        fresh = {call}
        while stale := _read_later(graph, target, value) - fresh:
            if target.target not in SCATTERED:
                raise NotImplementedError(
                    f"{_line(call)} writes into a tensor that is read later through another view "
                    f"({min(node.name for node in stale)}); make it out of place"
                )
            base = target.args[0]
            with graph.inserting_after(value):
                whole = graph.call_function(
                    SCATTERED[target.target], (base, value, *target.args[1:]), dict(target.kwargs)
                )
            whole.meta = {**base.meta, "torch_fn": ("", "")}
            target, value = base, whole
            fresh.add(whole)
            _replace_later(graph, target, value)


def _writes(call: fx.Node) -> bool:
    if not isinstance(call.target, torch._ops.OpOverload):
        return False
    name = call.target.overloadpacket.__name__
    return name.endswith("_") and not name.endswith("__")


def _make_functional(call: fx.Node) -> None:
    """Replace the operation of a node by its out-of-place version."""
    target: Any = call.target
    name = target.overloadpacket.__name__.removesuffix("_")
    args: Any = call.args
    if name == "copy" and args[0].meta["val"].dtype == args[1].meta["val"].dtype:
        call.target = aten.expand_as.default  # autograd has no derivative for aten.copy
        call.args = (args[1], args[0])
        return
    try:
        packet = getattr(getattr(torch.ops, target.namespace), name)
        call.target = getattr(packet, target._overloadname)
    except AttributeError:
        raise NotImplementedError(f"{_line(call)} writes in place; make it out of place") from None


def _line(call: fx.Node) -> str:
    """The line of the model that made a node."""
    lines = str(call.meta.get("stack_trace") or call.name).strip().splitlines()
    return f"`{lines[-1].strip()}`"


def _after(graph: fx.Graph, call: fx.Node) -> set[fx.Node]:
    calls = list(graph.nodes)
    return set(calls[calls.index(call) + 1 :])


def _replace_later(graph: fx.Graph, target: fx.Node, value: fx.Node) -> None:
    for reader in _after(graph, value) & set(target.users):
        reader.replace_input_with(target, value)


def _read_later(graph: fx.Graph, target: fx.Node, value: fx.Node) -> set[fx.Node]:
    """Nodes before a write that share the memory of what was written, and are read after it."""
    later, memory = _after(graph, value), _memory(target)
    return {
        node
        for node in graph.nodes
        if node not in later
        and node not in (target, value)
        and memory is not None
        and _memory(node) == memory
        and later & set(node.users)
    }


def _memory(node: fx.Node) -> int | None:
    value = node.meta.get("val")
    return value.untyped_storage()._cdata if isinstance(value, Tensor) else None
