"""Run the hooks of a user's modules as a call of the module would."""

from __future__ import annotations

import copy
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, TypeVar

import torch.nn.modules.module as everywhere
from torch import Tensor, nn
from torch.nn.utils.prune import BasePruningMethod
from torch.nn.utils.spectral_norm import SpectralNorm
from torch.nn.utils.weight_norm import WeightNorm
from torch.utils import _pytree as pytree

from .hook_shapes import Given
from .model_state import PLAIN, contents, modules_of, of_everyone
from .node import Node

T = TypeVar("T")
MAKE_WEIGHTS = (WeightNorm, SpectralNorm, BasePruningMethod)
"""Hooks of torch that set a weight before a call, and look at nothing that enters it."""


def before_hooks(module: nn.Module) -> dict[int, Any]:
    """The hooks that run before a module, by number."""
    return {**of_everyone(everywhere._global_forward_pre_hooks), **module._forward_pre_hooks}


def after_hooks(module: nn.Module) -> dict[int, Any]:
    """The hooks that run after a module, by number; without those that the check has set."""
    hooks = {**of_everyone(everywhere._global_forward_hooks), **module._forward_hooks}
    return {n: hook for n, hook in hooks.items() if not hasattr(hook, "of_the_check")}


def hooked(module: nn.Module) -> bool:
    """Whether hooks run when a module is called."""
    return _any_hooks(module) and bool(before_hooks(module) or after_hooks(module))


def _any_hooks(module: nn.Module) -> bool:
    """Whether there are any, of ours and of torch's too; the answer is mostly no."""
    own = module._forward_pre_hooks or module._forward_hooks
    return bool(own or everywhere._global_forward_pre_hooks or everywhere._global_forward_hooks)


def watched(module: nn.Module) -> bool:
    """Whether hooks see what enters or leaves a module, which must be there whole then."""
    if not _any_hooks(module):
        return False
    hooks = (*before_hooks(module).values(), *after_hooks(module).values())
    return any(not isinstance(hook, MAKE_WEIGHTS) for hook in hooks)


def hooks_see(nodes: Iterable[Node]) -> bool:
    """Whether values of these nodes are seen by hooks, to which they must be there whole."""
    return any(
        isinstance(node.call.target, Hooks) or (node.module is not None and watched(node.module))
        for node in nodes
    )


def make_weights(module: nn.Module) -> None:
    """Let torch's hooks set the weights that a call would use now."""
    for hook in module._forward_pre_hooks.values():
        if isinstance(hook, MAKE_WEIGHTS):
            hook(module, ())


def without_hooks(module: nn.Module) -> nn.Module:
    """The same module, with the same parameters, which runs forward alone when it is called."""
    twin = copy.copy(module)
    vars(twin)["_compiled_call_impl"] = twin.forward  # what nn.Module calls in place of hooks
    return twin


def run_before(
    module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments as the hooks before a module leave them."""
    for number, hook in before_hooks(module).items():
        if number in module._forward_pre_hooks_with_kwargs:
            both = _ran(module, number, hook, (args, kwargs))
            args, kwargs = (args, kwargs) if both is None else both
        else:
            result = _ran(module, number, hook, (args,))
            if result is not None:
                args = result if isinstance(result, tuple) else (result,)
    return args, kwargs


def run_after(module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], output: Any) -> Any:
    """The output as the hooks after a module leave it."""
    keywords = {
        **getattr(everywhere, "_global_forward_hooks_with_kwargs", {}),
        **module._forward_hooks_with_kwargs,
    }
    for number, hook in after_hooks(module).items():
        given = (args, kwargs, output) if number in keywords else (args, output)
        result = _ran(module, number, hook, given)
        output = output if result is None else result
    return output


def _ran(module: nn.Module, number: int, hook: Any, given: tuple[Any, ...]) -> Any:
    """What a hook gives; its shapes are remembered, by the hook itself if it is one of ours."""
    if hasattr(hook, "remembers"):
        return hook(module, *given)
    shapes = Given(module, number, given)
    result = hook(module, *given)
    shapes.gave(result)
    return result


_NUMBERS = count()  # none is given twice
_HOLE = object()  # stands where one of the values goes that were taken out


@dataclass(frozen=True, eq=False)
class Arrangement:
    """Arguments of a call, without those of one type, and how they lie in their containers."""

    layout: Any
    leaves: Sequence[Any]

    @classmethod
    def of(cls, arguments: Any, kind: type[T]) -> tuple[list[T], Arrangement]:
        """The values of this type, in order, and the rest."""
        flat, layout = pytree.tree_flatten(arguments)
        rest = [_HOLE if isinstance(leaf, kind) else leaf for leaf in flat]
        return [leaf for leaf in flat if isinstance(leaf, kind)], cls(layout, rest)

    def filled(self, values: Iterable[Any]) -> Any:
        """The arguments with these values in the holes."""
        given = iter(values)
        leaves = [next(given) if leaf is _HOLE else leaf for leaf in self.leaves]
        return pytree.tree_unflatten(leaves, self.layout)

    @property
    def identity(self) -> tuple[object, ...]:
        """What is equal for two of them that are the same, as far as that can be told."""
        return str(self.layout), *map(self._told, self.leaves)

    def _told(self, leaf: Any) -> object:
        if isinstance(leaf, Tensor):
            return contents(leaf)
        plain = leaf is _HOLE or isinstance(leaf, PLAIN)
        return (type(leaf), repr(leaf)) if plain else next(_NUMBERS)


class Hooks:
    """The hooks before or after a container, as one operation: leaves in, leaves out.

    Args:
        module: whose hooks.
        path: its path.
        after: after the call, or before it.
        rest: of (args, kwargs) or (args, kwargs, output), without the values of nodes.
    """

    def __init__(self, module: nn.Module, path: str, *, after: bool, rest: Arrangement) -> None:
        self.module, self.path, self.after, self.rest = module, path, after, rest
        self.__name__ = "hooks"
        self.identity = id(module), path, after, rest.identity

    def __call__(self, *values: Any) -> Any:
        """The values as the hooks leave them: a tensor, or a tuple if there are several.

        Raises:
            ValueError: the hooks changed the number of values.
        """
        args, kwargs, *output = self.rest.filled(values)
        if self.after:
            given = output[0]
            result = run_after(self.module, args, kwargs, given)
        else:
            given = (args, kwargs)
            result = run_before(self.module, args, kwargs)
        flat = pytree.tree_leaves(result)
        if len(flat) != len(pytree.tree_leaves(given)):
            raise ValueError(f"a hook of {self.path!r} changed how many values there are")
        return flat[0] if len(flat) == 1 else tuple(flat)


def refuse_backward_hooks(model: nn.Module, nodes: Iterable[Node]) -> None:
    """Refuse backward hooks, which may change gradients, of the modules on the way.

    Raises:
        ValueError: one has some; the message names it.
    """
    modules = modules_of(model)
    if any(module._backward_hooks or module._backward_pre_hooks for module in modules):
        _refuse_named(model, nodes)
    if everywhere._global_backward_hooks or everywhere._global_backward_pre_hooks:
        raise ValueError(
            "a backward hook is registered on all modules (register_module_full_backward_hook); "
            "a signal does not run it: remove it while you project (handle.remove())"
        )


def _refuse_named(model: nn.Module, nodes: Iterable[Node]) -> None:
    needed = {""}
    for node in nodes:
        parts = node.name.split(".")
        needed.update(".".join(parts[: i + 1]) for i in range(len(parts)))
    for path, module in model.named_modules(remove_duplicate=False):
        if path in needed and (module._backward_hooks or module._backward_pre_hooks):
            raise ValueError(
                f"a backward hook is registered on {path or 'the model itself'} "
                f"({type(module).__name__}), which may change gradients; a signal does not run "
                "it: remove it while you project (handle.remove())"
            )
