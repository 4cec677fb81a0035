"""Trace a model's forward with torch.fx: node names, hooks and constants."""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Mapping
from functools import wraps
from typing import Any

import torch
import torchvision
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree
from torchvision.models.feature_extraction import NodePathTracer

from deconvnet.layers import Mirrors

from .hooks import Arrangement, Hooks, after_hooks, before_hooks, hooked
from .names import numbered
from .node_state import current
from .signatures import called, image_argument, missing

LEAVES = tuple(getattr(torchvision.ops, name) for name in ("DeformConv2d", "DropBlock2d"))


def _writing(target: Callable[..., Any]) -> Callable[[fx.Proxy, Any], Any]:
    def write(self: fx.Proxy, other: Any) -> Any:
        name = target.__name__.removeprefix("i")  # the node's name, as torchvision has it: "add"
        return self.tracer.create_proxy("call_function", target, (self, other), {}, name)

    return write


class Written(fx.Proxy):
    """A value that knows ``y += x`` from ``y = y + x``, which torch.fx does not.

    Whoever holds ``y`` under another name sees what was written into it.
    """

    __iadd__ = _writing(operator.iadd)
    __isub__ = _writing(operator.isub)
    __imul__ = _writing(operator.imul)
    __itruediv__ = _writing(operator.itruediv)
    __ipow__ = _writing(operator.ipow)

    def __setitem__(self, index: Any, value: Any) -> None:
        raise TypeError("assignment to a part of a tensor cannot be followed")


class Tracer(NodePathTracer):  # type: ignore[misc]
    """torchvision's tracer; hooks and functions of a user's are nodes that it does not enter.

    Modules with a line in the mirrors are nodes; the inputs are those beside the images.
    """

    def __init__(
        self, inputs: Mapping[str, Any] | None = None, mirrors: Mirrors | None = None
    ) -> None:
        super().__init__(autowrap_modules=(math, torchvision.ops), leaf_modules=LEAVES)
        self.inputs, self.mirrors = inputs or {}, mirrors or Mirrors()
        self.owners: set[fx.Node] = set()  # the nodes that are the output of a module
        self.done: list[str] = []  # paths of the modules that were followed to their end

    def proxy(self, node: fx.Node) -> Written:
        """What stands for a node's value while forward runs."""
        return Written(node, self)

    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own modules, mirrored and compiled ones, and preprocessing are not entered."""
        return (
            isinstance(m, torch.jit.ScriptModule)
            or self.mirrors.whole(m)
            or type(m).__module__.startswith("torchvision.transforms")
            or bool(super().is_leaf_module(m, module_qualified_name))
        )

    def create_args_for_root(
        self, root_fn: Callable[..., Any], is_module: bool, concrete_args: Any = None
    ) -> tuple[Any, list[Any]]:
        """Only the images, and arguments that nobody gave, are unknown while forward runs."""
        argument = image_argument(self.root, self.inputs)
        places = {
            name: self.create_proxy("placeholder", name, (), {})
            for name in (argument, *missing(self.root, self.inputs))
        }
        images, given = places.pop(argument), {**self.inputs, **places}

        def run(root: nn.Module, images: Any) -> Any:
            def forward(*args: Any, **kwargs: Any) -> Any:
                own = vars(root).get("forward")  # of this one alone
                return root_fn(root, *args, **kwargs) if own is None else own(*args, **kwargs)

            def call(*args: Any, **kwargs: Any) -> Any:
                return self._between_hooks(root, "", forward, args, kwargs)

            return called(call, images, given, argument=argument, forward=root.forward)

        return run, [self.root, images]

    def call_module(self, m: nn.Module, forward: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """Follow a module, and its hooks as operations of their own."""
        path = self.path_of_module(m)
        if self.is_leaf_module(m, path) or not hooked(m):
            output = super().call_module(m, forward, args, kwargs)
        else:
            entered = super().call_module

            def inside(*args: Any, **kwargs: Any) -> Any:
                return entered(m, m.forward, args, kwargs)

            output = self._between_hooks(m, path, inside, args, kwargs)
        self.done.append(path)
        return output

    def _between_hooks(
        self, m: nn.Module, path: str, run: Callable[..., Any], args: Any, kwargs: Any
    ) -> Any:
        if before_hooks(m):
            args, kwargs = self._hooks(m, path, (args, kwargs), after=False)
        output = run(*args, **kwargs)
        if not after_hooks(m):
            return output
        return self._hooks(m, path, (args, kwargs, output), after=True)

    def _hooks(self, m: nn.Module, path: str, values: tuple[Any, ...], *, after: bool) -> Any:
        """One node for the hooks on one side of a module."""
        nodes, rest = Arrangement.of(values, fx.Proxy)
        target = Hooks(m, path, after=after, rest=rest)
        whole: Any = self.create_proxy("call_function", target, tuple(nodes), {}, name="hooks")
        leaves, layout = pytree.tree_flatten(values[2] if after else values)
        results = [whole] if len(leaves) == 1 else [whole[i] for i in range(len(leaves))]
        return pytree.tree_unflatten(results, layout)

    def create_arg(self, a: Any) -> Any:
        """A value as an argument of a node.

        Raises:
            RuntimeError: it was made while the model was read another time, and kept since.
        """
        if isinstance(a, fx.Proxy) and a.tracer is not self:
            raise RuntimeError(
                f"forward uses a value ({a.node}) that it has kept since it was read another time"
            )
        return super().create_arg(a)

    def create_node(self, *args: Any, **kwargs: Any) -> fx.Node:
        """Record a node, with the state that it was made in."""
        node: fx.Node = super().create_node(*args, **kwargs)
        node.meta["state"] = current()
        return node

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
        """Record a node under its name."""
        proxy: fx.Proxy = super().create_proxy(kind, target, args, kwargs, name, type_expr)
        if kind == "call_module" or (isinstance(target, Hooks) and target.after and target.path):
            self.node_to_qualname[proxy.node] = str(getattr(target, "path", target))
            self.owners.add(proxy.node)
        return proxy

    def hide(self, target: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        """One node for a function of the user's own, where it is called with nodes."""
        if not any(isinstance(leaf, fx.Proxy) for leaf in pytree.tree_leaves(args)):
            return run()
        with torch.enable_grad():  # apply has turned it off for what forward does
            return self.create_proxy("call_function", target, args, {}, name=target.__name__)

    def instead(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Replace a function with a mirror by one that becomes a node when called with nodes."""

        @wraps(function)
        def call(*args: Any, **kwargs: Any) -> Any:
            if any(isinstance(leaf, fx.Proxy) for leaf in pytree.tree_leaves((args, kwargs))):
                return self.create_proxy("call_function", function, args, kwargs)
            return function(*args, **kwargs)

        return call

    def _get_node_qualname(self, module_qualname: str, node: fx.Node) -> str:
        """The name without a number: what torchvision counts is not what has a module's path."""
        word = re.sub(r"(?<=.)_[0-9]+$", "", str(node))
        return word if not module_qualname else f"{module_qualname}.{word}"

    def names(self, traced: fx.Graph) -> Mapping[fx.Node, str]:
        """The name of every node; that of a buffer or a constant is its path."""
        nodes = [node for node in traced.nodes if node.op != "output"]
        words = [(n, self.node_to_qualname.get(n, str(n.target)), n in self.owners) for n in nodes]
        paths = (path for path, _ in self.root.named_modules(remove_duplicate=False) if path)
        return numbered(words, paths)


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


def constants(traced: fx.Graph, model: nn.Module, before: Mapping[str, Tensor]) -> dict[str, Any]:
    """The tensors that the model's forward makes itself; torch.fx has put them on the model.

    So are those that forward has put into buffers, beside or in place of those ``before``.
    """
    paths = {str(node.target) for node in traced.nodes if node.op == "get_attr"}
    buffers = dict(model.named_buffers(remove_duplicate=False))
    own = {path for path, buffer in buffers.items() if buffer is not before.get(path)}
    return {
        path: attribute(model, path)
        for path in paths
        if path.startswith("_tensor_constant") or path in own
    }


def attribute(model: nn.Module, path: str) -> Any:
    """A parameter, buffer or other attribute by its dotted path."""
    value: Any = model
    for part in path.split("."):
        value = getattr(value, part)
    return value
