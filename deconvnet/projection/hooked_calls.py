"""Calls of modules with forward hooks; hooks that change values become steps of their own."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.graph.hook_runs import unwritten
from deconvnet.graph.hooks import Hooks, after_hooks, before_hooks, run_after, run_before
from deconvnet.graph.observed_hooks import began_to_change, changing, looks_on
from deconvnet.layers import Local, MirroredLayer, Nothing, Policies, Record, WithoutFilters

from .opaque import refuse_unseen, ruled
from .shown_values import Shown

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


class HookedCalls:
    """The hooks that run in one forward pass.

    Args:
        policies: for activations in a hook.
    """

    def __init__(self, policies: Policies) -> None:
        self.policies, self._shown = policies, Shown()

    def before(
        self, module: nn.Module, name: str, filled: Callable[[Carried], Any], carried: Carried
    ) -> Made | None:
        """What the hooks before a module make of its arguments; None if they leave them as is.

        ``name`` is that of the node. ``filled``: {node: value} of those that carry a signal ->
        (args, kwargs) of the call.
        """

        def run(given: Any) -> Any:
            return _steady(module, name, lambda: run_before(module, *given))

        hooks, given = before_hooks(module), filled(carried)
        known = changing(module, hooks)
        if not known and self._looked(module, hooks, name, run, given) == [*_numbers(given)]:
            return None
        return self._changed(module, hooks, name, lambda now: run(filled(now)), carried)

    def after(
        self, module: nn.Module, name: str, call: tuple[Any, Any], out: Any, entry: Carried
    ) -> Made | None:
        """What the hooks after a module make of its output; None if they leave it as it is.

        ``call``: (args, kwargs), as the hooks before it left them. ``out``: what it gave, of the
        step ``<name>=``. ``entry``: {node: value} of the arguments that carry a signal.
        """
        names = {id(value): source for source, value in entry.items()}

        def run(out: Any, args: Any, kwargs: Any) -> Any:
            return _steady(module, name, lambda: run_after(module, args, kwargs, out))

        def again(now: Carried) -> Any:
            args, kwargs = pytree.tree_map(lambda x: now.get(names.get(id(x), ""), x), call)
            return run(now[f"{name}="], args, kwargs)

        hooks, given = after_hooks(module), (out, *call)
        known = changing(module, hooks)
        look = lambda given: run(*given)  # noqa: E731
        if not known and self._looked(module, hooks, name, look, given) == [*_numbers(out)]:
            return None
        return self._changed(module, hooks, name, again, {f"{name}=": out, **entry})

    def of_container(self, hooks: Hooks, given: tuple[Any, ...], carried: Carried) -> Made:
        """A step for the hooks of a container, which were read as a node with these arguments."""
        module, name = hooks.module, hooks.path
        names = {id(value): source for source, value in carried.items()}
        own = (after_hooks if hooks.after else before_hooks)(module)

        def run(values: Sequence[Any]) -> Any:
            return _steady(module, name, lambda: hooks(*values))

        kept = None if changing(module, own) else self._looked(module, own, name, run, given)
        if kept is not None:
            inputs = tuple(given[i] for i in kept)
            sources = tuple(names.get(id(x)) for x in inputs)
            return Made((Together(), (), sources), *Together().record(*inputs))

        def again(now: Carried) -> Any:
            return run([now.get(names.get(id(x), ""), x) for x in given])

        return self._changed(module, own, name, again, carried)

    def whole(self, record: Record, name: str) -> None:
        """Note a module that has run with the hooks inside it, or its own, as one operation.

        Raises:
            Kept: it is made of values that were shown to hooks elsewhere.
        """
        if record.graph:
            self._shown.refuse_kept(record.graph, record.roots, name)
            self._shown.mark(record.roots, name)

    def close(self) -> None:
        """Whoever has kept what hooks were shown has plain values from now on."""
        self._shown.end()

    def _looked(
        self,
        module: nn.Module,
        hooks: Mapping[int, Any],
        name: str,
        run: Callable[[Any], Any],
        given: Any,
    ) -> list[int] | None:
        """Which of the leaves of the given values hooks give back; None if they change any."""
        copies, made = self._shown.look(module, name, run, given)
        flat = pytree.tree_leaves(copies)
        if _with_hooks(module, hooks, flat):
            return None
        if not all(map(_as_it_was, flat, pytree.tree_leaves(given))):
            return None
        places = {id(x): i for i, x in reversed([*enumerate(flat)])}
        kept = [places.get(id(x)) for x in pytree.tree_leaves(made)]
        return None if None in kept else [i for i in kept if i is not None]

    def _changed(
        self,
        module: nn.Module,
        hooks: Mapping[int, Any],
        name: str,
        run: Callable[[Carried], Any],
        inputs: Carried,
    ) -> Made:
        """An opaque step for hooks; ``run``: {name: value} of what they read -> their value."""
        if not changing(module, hooks):
            began_to_change(module, hooks)

        def call(*values: Any) -> Any:
            return run(dict(zip(inputs, values, strict=True)))

        local = Local(ruled(call, self.policies, module=None))
        value, record = local.record(*inputs.values())
        refuse_unseen(record.outputs, self.policies)
        self.whole(record, name)
        return Made((local, (), tuple(inputs)), value, record)


def _numbers(given: Any) -> list[int]:
    """The numbers of the leaves, where the same one twice has the first."""
    flat = pytree.tree_leaves(given)
    places = {id(x): i for i, x in reversed([*enumerate(flat)])}
    return [places[id(x)] for x in flat]


def _steady(module: nn.Module, name: str, run: Callable[[], Any]) -> Any:
    """What hooks give that leave the hooks of their module as they are.

    Raises:
        ValueError: one of them has set or removed a hook, which is put back.
    """
    held = (module._forward_pre_hooks, module._forward_hooks)
    before = [dict(hooks) for hooks in held]
    result = run()
    if [dict(hooks) for hooks in held] != before:
        for hooks, own in zip(held, before, strict=True):
            hooks.clear()
            hooks.update(own)
        raise ValueError(
            f"a hook of {name or 'the model itself'} sets or removes hooks of its module while it "
            "runs, so that no two calls of the model are the same; register what shall stay "
            "before the call, and remove it afterwards"
        )
    return result


def _as_it_was(copy: Any, given: Any) -> bool:
    """Whether a copy was not written into."""
    return unwritten(copy, given) and not (isinstance(copy, Tensor) and copy._version)


def _with_hooks(module: nn.Module, hooks: Mapping[int, Any], copies: Iterable[Any]) -> bool:
    """Whether hooks that no check has seen have set hooks on tensors, which may change signals."""
    there = any(isinstance(x, Tensor) and x._backward_hooks for x in copies)
    return there and not all(looks_on(module, number, hook) for number, hook in hooks.items())
