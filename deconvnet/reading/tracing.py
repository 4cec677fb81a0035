"""Following a model's forward with torch.fx: node names, constants, and a model left as it was."""

from __future__ import annotations

import math
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torchvision
from torch import fx, nn
from torchvision.models.feature_extraction import NodePathTracer

CONTAINERS = (dict, OrderedDict, list, set)
LEAVES = tuple(
    getattr(torchvision.ops, name)
    for name in ("DeformConv2d", "FrozenBatchNorm2d", "StochasticDepth", "DropBlock2d")
)


class Written(fx.Proxy):
    """A value that knows ``y += x`` from ``y = y + x``, which torch.fx does not.

    Whoever holds ``y`` under another name sees what was written into it.
    """

    def __iadd__(self, other: Any) -> Any:
        return self._write(operator.iadd, other)

    def __isub__(self, other: Any) -> Any:
        return self._write(operator.isub, other)

    def __imul__(self, other: Any) -> Any:
        return self._write(operator.imul, other)

    def __itruediv__(self, other: Any) -> Any:
        return self._write(operator.itruediv, other)

    def __ipow__(self, other: Any) -> Any:
        return self._write(operator.ipow, other)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("assignment to a part of a tensor cannot be followed")

    def _write(self, target: Callable[..., Any], other: Any) -> Any:
        name = target.__name__.removeprefix("i")  # the node's name, as torchvision has it: "add"
        return self.tracer.create_proxy("call_function", target, (self, other), {}, name)


class Tracer(NodePathTracer):  # type: ignore[misc]
    """torchvision's tracer, with names that say which module ran.

    torchvision cuts ``_1`` off every name before it counts the calls, also off a module's own:
    there ``conv_1`` and ``conv_2`` are the nodes ``conv`` and ``conv_1``. Here a module's node is
    called what the module is called; only its second call gets a number.
    """

    def __init__(self) -> None:
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=LEAVES)

    def proxy(self, node: fx.Node) -> Written:
        """What stands for a node's value while forward runs."""
        return Written(node, self)

    def create_proxy(
        self,
        kind: str,
        target: Callable[..., Any] | str,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        name: str | None = None,
        type_expr: Any = None,
        *_: Any,
    ) -> fx.Proxy:
        """Write a node down, under its name."""
        proxy: fx.Proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
        if kind == "call_module":
            del self.node_to_qualname[proxy.node]
            self.node_to_qualname[proxy.node] = self._free(str(target))
        return proxy

    def names(self, traced: fx.Graph) -> dict[fx.Node, str]:
        """The name of every node; that of a buffer or a constant is its path."""
        for node in traced.nodes:
            if node not in self.node_to_qualname:
                self.node_to_qualname[node] = self._free(str(node.target))
        return {node: name for node, name in self.node_to_qualname.items() if node.op != "output"}

    def _free(self, name: str) -> str:
        taken, count, free = set(self.node_to_qualname.values()), 0, name
        while free in taken:
            count += 1
            free = f"{name}_{count}"
        return free


def unwrapped(model: nn.Module) -> nn.Module:
    """The model inside ``torch.compile``, ``DataParallel`` or ``DistributedDataParallel``."""
    while True:
        compiled = getattr(model, "_orig_mod", None)
        if isinstance(compiled, nn.Module):
            model = compiled
        elif isinstance(model, (nn.DataParallel, nn.parallel.DistributedDataParallel)):
            model = model.module
        else:
            return model


def constants(traced: fx.Graph, model: nn.Module) -> dict[str, Any]:
    """The tensors that the model's forward makes itself; torch.fx has put them on the model."""
    paths = {str(node.target) for node in traced.nodes if node.op == "get_attr"}
    return {path: attribute(model, path) for path in paths if path.startswith("_tensor_constant")}


def attribute(model: nn.Module, path: str) -> Any:
    """A parameter, buffer or other attribute by its dotted path."""
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """What a forward sets on its modules is taken back: torch.fx stores constants there.

    So is what it puts into their lists and dictionaries: models keep biases and grids there, and
    while they are traced these are no tensors that a later call could use.
    """
    before = [(vars(module), dict(vars(module))) for module in model.modules()]
    held = [value for _, kept in before for value in kept.values() if type(value) in CONTAINERS]
    contents = [(value, value.copy()) for value in held]
    try:
        yield
    finally:
        for names, kept in before:
            for name in [name for name in names if name not in kept]:
                del names[name]
            # the flag is ``evaluation``'s, which another thread may be in
            names.update({name: value for name, value in kept.items() if name != "training"})
        for value, copy in contents:
            value.clear()
            value.extend(copy) if isinstance(value, list) else value.update(copy)
