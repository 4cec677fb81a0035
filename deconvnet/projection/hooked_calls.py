"""Calls of modules with forward hooks; hooks that change values become steps of their own."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.graph.hooks import Hooks, after_hooks, before_hooks, run_after, run_before
from deconvnet.graph.observed_hooks import began_to_change, changing
from deconvnet.layers import Local, MirroredLayer, Nothing, Policies, Record, WithoutFilters

from .opaque import refuse_unseen, ruled

Carried = dict[str, Any]
Bound = tuple[MirroredLayer, tuple[Any, ...], tuple[str | None, ...]]
"""A mirrored layer, its inputs, and the nodes they came from; None for parameters."""


class Made(NamedTuple):
    """What hooks made, where they changed something: a step of its own."""

    bound: Bound  # how a signal goes back, and the nodes that it goes to
    value: Any  # what they gave back
    record: Record  # what the layer needs

    def alone(self) -> tuple[Tensor, Made] | None:
        """The one tensor that carries a signal, and the step that makes it; None if several do."""
        single = self.record.alone(self.value)
        return single and (single[0], self._replace(record=single[1]))


@dataclass(frozen=True, eq=False)
class Together(WithoutFilters):
    """Values that leave as they entered."""

    def record(self, *inputs: Any) -> tuple[Any, Nothing]:
        """The same values, in a tuple where there are several."""
        return (inputs[0] if len(inputs) == 1 else inputs), Nothing()

    def mirror(self, signal: Any, record: Nothing) -> tuple[Any, ...]:
        """The same signals."""
        return (signal,) if isinstance(signal, Tensor) else tuple(signal)

    def window(self, window: Any, record: Nothing) -> tuple[Any, ...]:
        """The same places."""
        return tuple(window) if isinstance(window[0], (tuple, type(None))) else (window,)


def changes(run: Callable[[Any], Any], given: Any) -> list[int] | None:
    """Which of the leaves of the given values hooks give back; None if they change anything.

    ``run``: values -> what the hooks make of them; the hooks see copies of the tensors, which lie
    in memory as in any call of the model: a hook may take a ``view`` of them.
    """
    copies = pytree.tree_map_only(
        Tensor, lambda x: x.clone(memory_format=torch.contiguous_format), given
    )
    flat = pytree.tree_leaves(copies)
    versions = [x._version for x in flat if isinstance(x, Tensor)]
    places = {id(x): i for i, x in enumerate(flat)}
    given_back = [places.get(id(x)) for x in pytree.tree_leaves(run(copies))]
    written = [x._version for x in flat if isinstance(x, Tensor)] != versions
    return None if written or None in given_back else [i for i in given_back if i is not None]


def before(
    module: nn.Module, filled: Callable[[Carried], Any], carried: Carried, policies: Policies
) -> Made | None:
    """What the hooks before a module make of its arguments; None if they leave them as they are.

    ``filled``: {node: value} of those that carry a signal -> (args, kwargs) of the call. The
    policies here and below are for activations in a hook.
    """
    hooks = before_hooks(module)
    if not changing(module, hooks):
        if changes(lambda given: run_before(module, *given), filled(carried)) is not None:
            return None
        began_to_change(module, hooks)
    return _opaque(lambda now: run_before(module, *filled(now)), carried, policies)


def after(
    module: nn.Module, call: tuple[Any, Any], output: Carried, entry: Carried, policies: Policies
) -> Made | None:
    """What the hooks after a module make of its output; None if they leave it as it is.

    ``call``: (args, kwargs), as the hooks before it left them. ``output``: {name: value} of what
    it gave. ``entry``: {node: value} of the arguments that carry a signal.
    """
    ((name, out),) = output.items()
    names = {id(value): source for source, value in entry.items()}

    def run(out: Any, now: Mapping[str, Any]) -> Any:
        args, kwargs = pytree.tree_map(lambda x: now.get(names.get(id(x), ""), x), call)
        return run_after(module, args, kwargs, out)

    hooks = after_hooks(module)
    if not changing(module, hooks):
        if changes(lambda given: run(given, entry), out) is not None:
            return None
        began_to_change(module, hooks)
    return _opaque(lambda now: run(now[name], now), {**output, **entry}, policies)


def of_container(
    hooks: Hooks, given: tuple[Any, ...], carried: Carried, policies: Policies
) -> Made:
    """A step for the hooks of a container, which were read as a node with these arguments."""
    names = {id(value): source for source, value in carried.items()}
    own = (after_hooks if hooks.after else before_hooks)(hooks.module)
    if not changing(hooks.module, own):
        kept = changes(lambda copies: hooks(*copies), given)
        if kept is not None:
            inputs = tuple(given[i] for i in kept)
            sources = tuple(names.get(id(x)) for x in inputs)
            return Made((Together(), (), sources), *Together().record(*inputs))
        began_to_change(hooks.module, own)
    return _opaque(
        lambda now: hooks(*(now.get(names.get(id(x), ""), x) for x in given)), carried, policies
    )


def _opaque(run: Callable[[Carried], Any], inputs: Carried, policies: Policies) -> Made:
    """An opaque step for hooks; ``run``: {name: value} of what they read -> their value."""

    def call(*values: Any) -> Any:
        return run(dict(zip(inputs, values, strict=True)))

    local = Local(ruled(call, policies, module=None))
    value, record = local.record(*inputs.values())
    refuse_unseen(record.outputs, policies)
    return Made((local, (), tuple(inputs)), value, record)
