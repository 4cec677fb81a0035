"""A call with hooks, recorded: they run as in any call, and change the mirror only if they must."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.graph.hooks import Hooks, run_after, run_before
from deconvnet.layers import Local, MirroredLayer, Nothing, Policies, Record
from deconvnet.layers.local import Traced

from .opaque import ruled
from .unseen_activations import refuse_unseen

Carried = dict[str, Any]


@dataclass(frozen=True)
class Opaque:
    """What hooks made, where they changed something: a step of its own.

    Args:
        value: what they gave back.
        layer: how a signal goes back.
        record: what it needs.
        sources: the nodes its inputs came from.
    """

    value: Any
    layer: MirroredLayer
    record: Record
    sources: tuple[str, ...]

    def alone(self) -> tuple[Tensor, Opaque] | None:
        """The one tensor that carries a signal, and the step that makes it; None if several do."""
        record = self.record
        assert isinstance(record, Traced), "hooks are traced"
        pairs = zip(pytree.tree_leaves(self.value), record.outputs, strict=True)
        live = [(value, output) for value, output in pairs if output is not None]
        if len(live) != 1:
            return None
        one = replace(record, outputs=(live[0][1],), layout=pytree.tree_structure(0))
        return live[0][0], replace(self, record=one)


@dataclass(frozen=True, eq=False)
class Together(MirroredLayer):
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

    Args:
        run: values -> what the hooks make of them.
        given: the values; the hooks see copies of the tensors.
    """
    copies = pytree.tree_map(lambda x: x.clone() if isinstance(x, Tensor) else x, given)
    flat = pytree.tree_leaves(copies)
    versions = [x._version for x in flat if isinstance(x, Tensor)]
    places = {id(x): i for i, x in enumerate(flat)}
    found = [places.get(id(x)) for x in pytree.tree_leaves(run(copies))]
    written = [x._version for x in flat if isinstance(x, Tensor)] != versions
    return None if written or None in found else [i for i in found if i is not None]


def before(
    module: nn.Module,
    filled: Callable[[Mapping[str, Any]], Any],
    carried: Carried,
    policies: Policies,
) -> Opaque | None:
    """What the hooks before a module make of its arguments; None if they leave them as they are.

    Args:
        module: whose hooks.
        filled: {node: value} of those that carry a signal -> (args, kwargs) of the call.
        carried: the values that carry a signal.
        policies: for activations in a hook.
    """

    def run(given: Any) -> Any:
        return run_before(module, *given)

    if changes(run, filled(carried)) is not None:
        return None
    names = tuple(carried)
    return _opaque(lambda *now: run(filled(dict(zip(names, now, strict=True)))), carried, policies)


def after(
    module: nn.Module, call: tuple[Any, Any], output: Carried, entry: Carried, policies: Policies
) -> Opaque | None:
    """What the hooks after a module make of its output; None if they leave it as it is.

    Args:
        module: whose hooks.
        call: (args, kwargs), as the hooks before it left them.
        output: {name: value} of what it gave.
        entry: {node: value} of the arguments that carry a signal.
        policies: for activations in a hook.
    """
    ((name, out),) = output.items()
    names = {id(value): source for source, value in entry.items()}

    def run(out: Any, now: Mapping[str, Any]) -> Any:
        args, kwargs = pytree.tree_map(lambda x: now.get(names.get(id(x), ""), x), call)
        return run_after(module, args, kwargs, out)

    if changes(lambda given: run(given, entry), out) is not None:
        return None
    sources = {name: out, **entry}
    return _opaque(
        lambda out, *now: run(out, dict(zip(entry, now, strict=True))), sources, policies
    )


def of_container(
    hooks: Hooks, given: tuple[Any, ...], carried: Carried, policies: Policies
) -> Opaque:
    """A step for the hooks of a container, which were read as a node.

    Args:
        hooks: the node's operation.
        given: its arguments.
        carried: {node: value} of those that carry a signal.
        policies: for activations in a hook.
    """
    kept = changes(lambda copies: hooks(*copies), given)
    names = {id(value): source for source, value in carried.items()}
    if kept is not None:
        inputs = tuple(given[i] for i in kept)
        value, record = Together().record(*inputs)
        sources = tuple(names.get(id(x)) for x in inputs)
        return Opaque(value, Together(), record, sources)  # type: ignore[arg-type]

    def run(*now: Any) -> Any:
        new = dict(zip(carried, now, strict=True))
        return hooks(*(new.get(names.get(id(x), ""), x) for x in given))

    return _opaque(run, carried, policies)


def _opaque(run: Callable[..., Any], inputs: Carried, policies: Policies) -> Opaque:
    local = Local(ruled(run, policies, module=None))
    value, record = local.record(*inputs.values())
    refuse_unseen(record.outputs, policies)
    return Opaque(value, local, record, tuple(inputs))
