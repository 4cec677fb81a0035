"""Hide a user's operations from torch.export: hooks, and functions with their own backward."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any

import torch
import torch.nn.modules.module as everywhere
from torch import Tensor, fx, nn
from torch.utils import _pytree as pytree

from deconvnet.layers import Mirrors

from .fx_tracing import Tracer
from .hooks import Arrangement, Hooks, after_hooks, before_hooks, hooked
from .own_functions import Placed, in_place_of, kept_whole
from .signatures import called, image_argument

_LIBRARY: Any = torch.library.Library("deconvnet", "DEF")  # type: ignore[no-untyped-call]
_LIBRARY.define("hidden(Tensor value, Tensor[] inputs, int number, int place) -> Tensor")
_LIBRARY.impl("hidden", lambda value, *_: value.clone(), "CompositeExplicitAutograd")


class Hider:
    """Notes the operations that are hidden while a model is exported, and puts them back.

    Each value that leaves one is marked by an operation of ours, which has what enters it as its
    further inputs; what ran in between, on values of the same shapes, is then left out.
    """

    def __init__(self, mirrors: Mirrors) -> None:
        self.mirrors = mirrors
        self.targets: list[Any] = []

    def function(self, target: Any, args: tuple[Any, ...], run: Callable[[], Any]) -> Any:
        """Hide a call of a user's ``autograd.Function``."""
        tensors, rest = Arrangement.of(args, Tensor)
        return self._marked(Placed(target.function, rest), run(), tensors)

    def call(self, call: tuple[str, Any], args: Any, kwargs: Any, run: Callable[..., Any]) -> Any:
        """Hide a call of a module or function that a mirror stands for (see ``Mirrored``)."""
        tensors, rest = Arrangement.of((args, kwargs), Tensor)
        return self._marked(Mirrored(*call, rest), run(*args, **kwargs), tensors)

    def hooks(self, m: nn.Module, path: str, values: tuple[Any, ...], *, after: bool) -> Any:
        """Hide the hooks on one side of a module, which are assumed to keep shapes."""
        tensors, rest = Arrangement.of(values, Tensor)
        target = Hooks(m, path, after=after, rest=rest)
        return self._marked(target, values[2] if after else values, tensors)

    def _marked(self, target: Any, value: Any, tensors: list[Tensor]) -> Any:
        number = len(self.targets)
        flat, layout = pytree.tree_flatten(value)
        self.targets.append((target, len(flat)))
        marked = [
            torch.ops.deconvnet.hidden(x, tensors, number, place) if isinstance(x, Tensor) else x
            for place, x in enumerate(flat)
        ]
        return pytree.tree_unflatten(marked, layout)

    def put_back(self, graph: fx.Graph) -> None:
        """Replace what each hidden operation became by one call of it."""
        calls: dict[int, fx.Node] = {}
        idle = {node for node in graph.nodes if not node.users}
        hidden = torch.ops.deconvnet.hidden.default
        for node in [node for node in graph.nodes if node.target is hidden]:
            _, inputs, number, place = node.args
            target, count = self.targets[number]
            with graph.inserting_before(node):
                if number not in calls:
                    calls[number] = _called(graph, target, inputs)
                    calls[number].meta = _outside(node.meta, target)
                one = calls[number]
                if count > 1:
                    one = graph.call_function(_entry, (calls[number], place))
                    one.meta = _outside(node.meta, target)
            node.replace_all_uses_with(one)
            graph.erase_node(node)
        for node in reversed(list(graph.nodes)):  # what ran within
            if not node.users and node not in idle and node not in calls.values():
                graph.erase_node(node)


@dataclass(frozen=True)
class Mirrored:
    """A call of a module or function that a mirror stands for."""

    op: str  # "call_module" or "call_function"
    target: Any  # the path, or the function
    rest: Arrangement  # of (args, kwargs), without the tensors


def _called(graph: fx.Graph, target: Any, inputs: Sequence[fx.Node]) -> fx.Node:
    if not isinstance(target, Mirrored):
        return graph.call_function(target, tuple(inputs))
    args, kwargs = target.rest.filled(inputs)
    return graph.create_node(target.op, target.target, tuple(args), kwargs)


def _outside(meta: Mapping[str, Any], target: Any) -> dict[str, Any]:
    """The metadata of a node, as of one outside of the module that it stands for."""
    path = target.target if isinstance(target, Mirrored) else None
    stack = {k: v for k, v in meta.get("nn_module_stack", {}).items() if v[0] != path}
    return {**meta, "torch_fn": ("", ""), "nn_module_stack": stack}


def _entry(values: Any, place: int) -> Any:
    return values[place]


@contextmanager
def hidden(model: nn.Module, inputs: Mapping[str, Any], mirrors: Mirrors) -> Iterator[Hider]:
    """Prepare a model for export: forward takes the images alone, a user's code is hidden.

    To be undone by whoever keeps the attributes of the modules as they were.
    """
    is_leaf = Tracer(mirrors=mirrors).is_leaf_module
    hider = Hider(mirrors)
    argument, forward = image_argument(model, inputs), model.forward
    for path, module in list(model.named_modules()):
        if hooked(module):
            alone = is_leaf(module, "") and mirrors.of_module(module) is not None
            _between(hider, module, path, alone=alone)  # one node, with whose hooks it runs
    for path, module in list(model.named_modules()):
        if path and mirrors.is_own(module):
            vars(module)["forward"] = _instead(hider, ("call_module", path), module.forward)
    before, after = before_hooks(model), after_hooks(model)

    def instead(function: Callable[..., Any]) -> Callable[..., Any]:
        return _instead(hider, ("call_function", function), function)

    def images_alone(images: Any) -> Any:
        def call(*args: Any, **kwargs: Any) -> Any:
            if before:
                args, kwargs = hider.hooks(model, "", (args, kwargs), after=False)
            output = forward(*args, **kwargs)
            return hider.hooks(model, "", (args, kwargs, output), after=True) if after else output

        return called(call, images, inputs, argument=argument, forward=forward)

    model.forward = images_alone
    everyones = everywhere._global_forward_pre_hooks, everywhere._global_forward_hooks
    copies = [hooks.copy() for hooks in everyones]
    try:
        for hooks in everyones:
            hooks.clear()
        with in_place_of(mirrors.functions, instead), kept_whole(hider.function):
            yield hider
    finally:
        for hooks, copy in zip(everyones, copies, strict=True):
            hooks.update(copy)


def _instead(hider: Hider, call: tuple[str, Any], run: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(run)
    def hide(*args: Any, **kwargs: Any) -> Any:
        return hider.call(call, args, kwargs, run)

    return hide


def _between(hider: Hider, module: nn.Module, path: str, *, alone: bool) -> None:
    """Take the hooks off a module, and let its call hide them."""
    before, after = before_hooks(module), after_hooks(module)
    for name in vars(module):
        if name.startswith(("_forward_hooks", "_forward_pre")):
            vars(module)[name] = OrderedDict()
    if alone or not path:
        return

    def enter(m: nn.Module, args: Any, kwargs: Any) -> Any:
        return hider.hooks(m, path, (args, kwargs), after=False) if before else None

    def leave(m: nn.Module, args: Any, kwargs: Any, output: Any) -> Any:
        return hider.hooks(m, path, (args, kwargs, output), after=True) if after else None

    module.register_forward_pre_hook(enter, with_kwargs=True)
    module.register_forward_hook(leave, with_kwargs=True)
