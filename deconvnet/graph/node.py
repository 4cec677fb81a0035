"""One operation of a model: what it is, what it reads, and running it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from deconvnet.arguments import Brief

from .node_state import PLAIN, State


@dataclass(frozen=True, eq=False)
class Node(Brief):
    """One operation of the model."""

    name: str  # torchvision's node name, such as "layer1.0.relu_1"
    call: fx.Node  # as torch.fx or torch.export traced it
    module: nn.Module | None  # the module that is called, for nodes that call one
    sources: tuple[str, ...]  # names of the nodes it takes values from
    mutates: bool  # it writes into its first argument

    @property
    def state(self) -> State:
        """What context managers of the model's had set when it ran."""
        state: State = self.call.meta.get("state", PLAIN)
        return state

    @property
    def kind(self) -> str:
        """What it is: "Conv2d", "ReLU", "add"."""
        if self.module is not None:
            return type(self.module).__name__
        if self.call.op in ("placeholder", "get_attr"):
            return self.call.op
        target = self.call.target
        if isinstance(target, torch._ops.OpOverload):
            target = target.overloadpacket.__name__
        return target if isinstance(target, str) else getattr(target, "__name__", str(target))


def target_of(node: Node) -> object:
    """What a node calls, told apart from everything else that is called so."""
    target = node.call.target
    if isinstance(target, str):
        return target, id(node.module)
    own = getattr(target, "identity", id(target))  # of ours, which are made anew in each reading
    return (str(getattr(target, "__name__", target)), own), id(node.module)


def run_call(node: Node, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> Any:
    """What a node computes, by the model's own module, function or method, in its state."""
    target: Any = node.call.target
    with node.state.entered():
        if node.module is not None:
            return node.module(*args, **kwargs)
        if node.call.op == "call_method":
            return getattr(args[0], target)(*args[1:], **kwargs)
        return target(*args, **kwargs)


def arguments(
    node: Node, names: Mapping[fx.Node, str], values: Mapping[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """A node's arguments with the values of the nodes in them."""
    return filled(node.call.args, names, values), filled(node.call.kwargs, names, values)


def filled(part: Any, names: Mapping[fx.Node, str], values: Mapping[str, Any]) -> Any:
    """Arguments of a traced call, or a part of them, with values in place of nodes."""
    # torch.fx's own map_arg makes lists that refuse to be written into, as some models do
    if isinstance(part, fx.Node):
        return values[names[part]]
    if isinstance(part, list):
        return [filled(one, names, values) for one in part]
    if isinstance(part, dict):
        return {key: filled(one, names, values) for key, one in part.items()}
    if isinstance(part, slice):
        ends = (part.start, part.stop, part.step)
        return slice(*(filled(one, names, values) for one in ends))
    return tuple(filled(one, names, values) for one in part) if type(part) is tuple else part
