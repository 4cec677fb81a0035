"""Compare a graph with its model: values side by side, and one gradient."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor

from deconvnet.arguments import Brief
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooked, watched
from deconvnet.graph.interpreter import Run, execute, plain
from deconvnet.graph.kept_parameters import kept
from deconvnet.graph.node import filled
from deconvnet.graph.observed_hooks import without_onlookers
from deconvnet.graph.signatures import called, image_argument
from deconvnet.graph.user_call import Traces, Unguardable
from deconvnet.layers import Policies, rectifier
from deconvnet.layers.crop import layout
from deconvnet.projection.backward import backward
from deconvnet.projection.forward import ForwardPass
from deconvnet.projection.geometry import Step

from .module_calls import ONE_AT_A_TIME, OUTPUT, by_node, calls_of, captured, untouched
from .tolerance import agrees, difference, told

GRADIENT = "the gradient at the images"


@dataclass(frozen=True)
class Row:
    """One value of the graph beside the model's."""

    name: str  # of the node, or OUTPUT or GRADIENT
    kind: str  # of the node: "Conv2d"
    difference: float  # relative L2 difference; infinite for values of different shapes
    ok: bool  # whether it is explained by rounding
    actual: str = ""  # the graph's value where they differ most
    expected: str = ""  # the model's there
    image: int | None = None  # the row of the batch where that is; None if it is in none


@dataclass
class Comparison(Brief):
    """The result of running a graph beside its model."""

    rows: list[Row] = field(default_factory=list)  # in the order in which the model made the values
    error: str | None = None  # what the model itself raised, if it did
    stopped: str | None = None  # what the graph raised, if it did
    alive: bool = True  # whether the gradient that was compared was not all zero
    traces: Traces = field(default_factory=Traces)  # what the model would have left behind
    guarded: bool = True  # whether parameters that it wrote into would have got their values back

    @property
    def wrong(self) -> list[Row]:
        """What differs, the first one first."""
        return [row for row in self.rows if not row.ok]

    @property
    def right(self) -> set[str]:
        """The nodes at which graph and model agree."""
        return {row.name for row in self.rows if row.ok}


def compare(
    graph: Graph, images: Tensor, inputs: Mapping[str, Any], *, seeds: Sequence[str] | None
) -> Comparison:
    """Run a graph and its model beside each other on the same images.

    Values are compared wherever the output of a module is a node, as the model makes them, and at
    the outputs. Nothing is kept of them, so that this takes the memory of both passes.

    Args:
        graph: the model's.
        images: (batch, channels, *size).
        inputs: {argument: value} of the other arguments of forward.
        seeds: also carry a random signal from these nodes to the images, through the mirror under
            the policy "gradient" and through autograd; () for what the model returns, None for
            values alone.
    """
    with ONE_AT_A_TIME:
        try:
            result = _apart(graph, _laid_out(graph, images), inputs, seeds)
        except _NotDifferentiated:  # a value was written into that autograd needed as it was
            result = _apart(graph, _laid_out(graph, images), inputs, seeds, cloned=True)
        if result.error is None:
            return result
        return _apart(graph, images.detach().clone(), inputs, seeds)  # as they were given


def _apart(*given: Any, cloned: bool = False) -> Comparison:
    """Graph and model beside each other; each with a state of its own, where the model has one."""
    try:
        return _guarded(*given, cloned=cloned)
    except Unguardable:
        return _guarded(*given, cloned=cloned, guarded=False)


def _guarded(*given: Any, cloned: bool, guarded: bool = True) -> Comparison:
    beside = _Beside(*given, cloned=cloned)
    model = beside.graph.model
    alone = nullcontext() if beside.gradient else without_onlookers(model)  # in mining: see there
    with alone, untouched(model, guarded=guarded) as traces:
        result = beside.run()
    if traces.written and result.error is None:  # what the graph read may have been written by then
        beside = _Beside(*given, cloned=cloned)
        with untouched(model, guarded=guarded):
            beside.through()
        with untouched(model, guarded=guarded):
            result = beside.run()
    result.traces, result.guarded = traces, guarded
    return result


def alongside(
    graph: Graph, images: Tensor, layers: Sequence[str], tell: Callable[[str, Any], None]
) -> Comparison:
    """Run a graph to some layers, and its model beside it, once each.

    The images are laid out in memory as they are to run; ``tell`` is given (layer, value) of each
    layer, by the graph, as soon as it is there. Where the model leaves traces, the values of the
    graph may be of a state that the model has written into.
    """
    with ONE_AT_A_TIME, untouched(graph.model, guarded=False) as traces:
        with kept(graph, None, traces):
            beside = _Beside(graph, images, graph.inputs, None, tell=dict.fromkeys(layers, tell))
            beside.run()
            beside.through()
    beside.result.traces = traces
    return beside.result


def _laid_out(graph: Graph, images: Tensor) -> Tensor:
    """As recordings lay images out, so that both sides round alike; for hooks, as in any call."""
    seen = any(map(watched, graph.model.modules()))
    return images.detach().clone(memory_format=torch.preserve_format if seen else layout(images))


class _Beside:
    """Runs a graph just as far as the model has run, so that each pair of values is met once."""

    def __init__(
        self,
        graph: Graph,
        images: Tensor,
        inputs: Mapping[str, Any],
        seeds: Sequence[str] | None,
        *,
        cloned: bool = False,
        tell: Mapping[str, Callable[[str, Any], None]] = MappingProxyType({}),
    ) -> None:
        self.graph, self.images, self.inputs, self.cloned = graph, images, inputs, cloned
        self.tell = tell
        self.calls = calls_of(graph)
        self.gradient, self.seeds = seeds is not None, tuple(seeds or _tops(graph, self.calls))
        wanted = [*graph.returned, *(name for names in self.calls.values() for name in names)]
        self.recorder = ForwardPass(graph, Policies(rectifier("gradient")))
        run: Run = self.recorder.run if self.gradient else plain(graph)
        self.steps = execute(graph, images, graph.upto([*wanted, *tell]), run)
        self.awaited, self.held = set(wanted), dict[str, Any]()
        self.tops: dict[str, Tensor] = {}
        self.ahead = False  # the graph is running, which may call the model's modules too
        self.result = Comparison()

    def through(self) -> None:
        """Run the graph to its end, before the model."""
        for name in self.awaited:
            self._reached(name)

    def run(self) -> Comparison:
        """Run both."""
        leaf = self.images.clone().requires_grad_(self.gradient)
        argument = image_argument(self.graph.model, self.inputs)
        watched = captured(self.graph, self._meet, heed=lambda: not self.ahead)
        with torch.set_grad_enabled(self.gradient), watched:
            try:
                given = leaf.clone() if self.gradient else leaf
                output = called(self.graph.model, given, self.inputs, argument=argument)
            except torch.cuda.OutOfMemoryError as error:
                error.add_note("while the graph was held against the model; check=False does not")
                raise
            except Exception as error:
                self.result.error = str(error).strip() or type(error).__name__
            else:
                self._meet_output(output)
        if self.gradient:
            self._meet_gradient(leaf)
        return self.result

    def _meet(self, name: str, value: Any) -> Tensor | None:
        """A module has given its output: hold the node's value against it.

        Returns:
            what the model goes on with; None for the value itself.
        """
        expected = _detached(value)
        if self._reached(name):
            self._compare(name, self.graph.nodes[name].kind, self.held[name], expected)
            if name not in self.graph.returned:
                del self.held[name]
        if name in self.seeds and self.gradient and isinstance(value, Tensor):
            self.tops[name] = value.clone()  # what is written into it later is another value
        return value.clone() if self.cloned and isinstance(value, Tensor) else None

    def _meet_output(self, output: Any) -> None:
        if not self.graph.returned or not all(map(self._reached, self.graph.returned)):
            return
        values = {name: self.held[name] for name in self.graph.returned}
        actual = filled(self.graph.output, self.graph.names, values)
        self._compare(OUTPUT, "", actual, _detached(output))
        returned = by_node(self.graph, output)
        self.tops |= {name: returned[name] for name in self.seeds if name in returned}

    def _reached(self, name: str) -> bool:
        """Run the graph until it has a node's value; whether it has."""
        self.ahead = True
        try:
            with torch.no_grad():
                while name not in self.held and self.result.stopped is None:
                    node, value = next(self.steps)
                    if node.name in self.tell:
                        self.tell[node.name](node.name, value)
                    if node.name in self.awaited:
                        self.held[node.name] = value
        except StopIteration:
            pass
        except (ValueError, RuntimeError) as error:
            self.result.stopped = str(error)
            self.result.rows.append(Row(str(error), "", float("inf"), ok=False))
        finally:
            self.ahead = False
        return name in self.held

    def _compare(self, name: str, kind: str, actual: Any, expected: Any) -> None:
        apart = difference(actual, expected)
        ok = agrees(apart, self.images.dtype)
        values = ("", "", None) if ok else told(actual, expected)
        self.result.rows.append(Row(name, kind, apart, ok, *values))

    def _meet_gradient(self, leaf: Tensor) -> None:
        """Carry one random signal down both ways."""
        own = _of_the_user(self.graph, self.recorder.steps)
        tops = {n: t for n, t in self.tops.items() if t.is_floating_point() and n not in own}
        seeds = _random(tops)
        alive = {n: t for n, t in tops.items() if t.requires_grad}
        expected = torch.zeros_like(leaf)
        if alive:
            values, given = list(alive.values()), [seeds[n] for n in alive]
            back = self._differentiated(values, leaf, given)
            if back is None:
                return
            expected = back
        carried = {n: seed for n, seed in seeds.items() if n in self.recorder.carriers}
        try:
            actual = backward(self.recorder.steps, carried).get(self.graph.input)
        except RuntimeError as error:  # values of other shapes than the model's
            self.result.rows.append(Row(str(error), "", float("inf"), ok=False))
            return
        self.result.alive = bool(expected.any())
        actual = torch.zeros_like(leaf) if actual is None else actual
        if self.result.alive or actual.any():
            self._compare(GRADIENT, f"seeds at {', '.join(seeds)}", actual, expected)

    def _differentiated(
        self, values: Sequence[Tensor], leaf: Tensor, seeds: Sequence[Tensor]
    ) -> Tensor | None:
        """Autograd's gradient; None where the model has none whatever is done."""
        try:
            # what hooks gave is carried back through the same graph for the mirror
            kept = any(map(hooked, self.graph.model.modules()))
            (back,) = torch.autograd.grad(values, leaf, seeds, allow_unused=True, retain_graph=kept)
        except RuntimeError as error:
            if not self.cloned:
                raise _NotDifferentiated from error
            return None
        return torch.zeros_like(leaf) if back is None else back


class _NotDifferentiated(Exception):
    """Autograd cannot go through the model as it is written."""


def _tops(graph: Graph, calls: Mapping[Any, Sequence[str]]) -> list[str]:
    """Where a gradient starts: what is returned; below mirrors of the user's own, if it is above.

    Else the comparison would have to be made again from lower nodes, and hooks would see it.
    """
    own = set[str]()
    for node in graph:
        if graph.mirrors.is_own(node.module, node.call.target) or not own.isdisjoint(node.sources):
            own.add(node.name)
    seen = [name for name in graph.nodes if any(name in names for names in calls.values())]
    free = [name for name in seen if name not in own]
    return [name for name in graph.returned if name not in own] or free[-1:] or seen[-1:]


def _of_the_user(graph: Graph, steps: Sequence[Step]) -> set[str]:
    """The nodes with a mirror of the user's own, and all that are made of their values."""
    names: set[str] = set()
    for step in steps:
        node = graph.nodes[step.node]
        own = graph.mirrors.is_own(node.module, node.call.target)
        if own or not names.isdisjoint(filter(None, step.sources)):
            names.add(step.name)
    return names


def _random(tops: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A random signal at each; always the same, and of no generator of the user's."""
    seeds = {}
    numbers = torch.Generator().manual_seed(0)
    for name, top in tops.items():
        seed = torch.randn(top.shape, generator=numbers, dtype=torch.float64)
        seeds[name] = seed.to(device=top.device, dtype=top.dtype)
    return seeds


def _detached(value: Any) -> Any:
    """A value as it is now, for a comparison that comes before anything writes into it."""
    return value.detach() if isinstance(value, Tensor) else value
