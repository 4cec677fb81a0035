"""Choose the right graph of a model for some images: each is compared with the model once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from deconvnet.graph.errors import BRANCHES, GRADIENTS, NotTheModel, UntraceableError
from deconvnet.graph.frontends import Graphs
from deconvnet.graph.graph import Graph
from deconvnet.graph.interpreter import execute, plain, second_input
from deconvnet.graph.kept_parameters import run_kept
from deconvnet.graph.model_state import contents, state_of
from deconvnet.graph.modes import evaluation
from deconvnet.graph.signatures import missing

from .against_model import GRADIENT, Comparison, Row, alongside
from .float64 import compared
from .module_calls import OUTPUT, calls_of, unsteady

CALLS = 10  # of a model that draws random numbers: a branch taken half the time shows in 511 of 512
MOST = 64  # judgements that are remembered of a model


@dataclass
class Judgement:
    """What is known of one graph for images of one size."""

    covered: set[str] = field(default_factory=set)  # the nodes up to which it is the model
    problem: Row | None = None  # where it first differs; None if nowhere
    error: str | None = None  # what the model itself raised, if it did
    unsteady: list[str] = field(default_factory=list)  # where it gives several answers to one input
    tried: set[str] = field(default_factory=set)  # layers asked for beyond what was covered

    @property
    def fine(self) -> bool:
        """Whether the whole graph is the model."""
        return self.problem is None and self.error is None and not self.unsteady


_KNOWN: WeakKeyDictionary[nn.Module, dict[object, Judgement]] = WeakKeyDictionary()


class Checked:
    """Hands out graphs that were compared with the model.

    The comparison is made once for every graph, state of the model (parameters by identity and
    version, hooks, settings) and size, precision and device of the images; the result is
    remembered for as long as the model lives.
    """

    def __init__(self, graphs: Graphs) -> None:
        self.graphs = graphs

    @classmethod
    def if_asked(cls, graphs: Graphs, check: bool) -> Checked | None:
        """The same, or nothing where ``check`` is false.

        Raises:
            TypeError: it is no bool.
        """
        if not isinstance(check, bool):
            raise TypeError(f"check={check!r} was given, expected True or False")
        return cls(graphs) if check else None

    def of(
        self, images: Tensor, layers: Sequence[str | nn.Module] | None, *, gradient: bool = True
    ) -> Graph:
        """The graph for images like these, which is the model up to these layers, or to its end.

        Raises:
            KeyError: no such layer.
            NotTheModel: no graph is.
            ValueError: the images do not fit the model.
        """
        if images.device.type == "meta":  # there are no values
            return self.graphs.of(images)
        for name in missing(self.graphs.model, self.graphs.inputs):
            raise second_input(name)
        judged: list[tuple[Graph, Judgement]] = []
        refusals: list[UntraceableError] = []
        for read in (self.graphs.of, self.graphs.again, self.graphs.exported):
            try:
                graph = read(images)
            except UntraceableError as refusal:
                if not judged:
                    raise
                refusals.append(refusal)
                continue
            if graph is None:
                continue
            judgement = self._judged(graph, images, gradient=gradient)
            if judgement.fine:
                return self.graphs.adopted(graph, images)
            judged.append((graph, judgement))
            if judgement.problem is None or judgement.unsteady:
                break  # another graph would do no better
        for graph, judgement in judged:
            if self._covers(graph, judgement, images, layers, gradient=gradient):
                return graph
        raise _refused(judged, refusals, images, layers)

    def knows(self, graph: Graph, images: Tensor) -> bool:
        """Whether it is remembered how a graph compares with the model on images like these."""
        return _key(graph, images, gradient=True) in _KNOWN.get(graph.model, {})

    def run(
        self, images: Tensor, layers: Sequence[str], tell: Callable[[str, Tensor], None]
    ) -> bool:
        """Run the graph for images of the size of these; its values are compared on the way.

        Only where they were not before: the model then runs beside the graph, so that hooks run
        once for both. The arguments are those of ``alongside``.

        Returns:
            False if that was not to be: it is known already, or has to be looked at more closely,
            as ``of`` does. What was told is not to be used then.
        """
        graph = self.graphs.of(images)
        key = _key(graph, images, gradient=False)
        if key in _KNOWN.get(graph.model, {}):
            return False
        result = alongside(graph, images, layers, tell)
        if result.wrong or result.traces or result.error is not None or result.stopped is not None:
            return False
        _remember(graph, images, key, Judgement(covered=set(graph.nodes)))
        return True

    def differs(self, images: Tensor, layers: Sequence[str]) -> Row | None:
        """Where the graph differs from the model on these very images; looked for once."""
        graph = self.graphs.of(images)
        key = _key(graph, images, gradient=False), tuple(layers), contents(images)
        if key in _KNOWN.get(graph.model, {}):
            return None
        row = differs(graph, images, layers)
        if row is None:
            _remember(graph, images, key, Judgement(covered=set(graph.nodes)))
        return row

    def _judged(self, graph: Graph, images: Tensor, *, gradient: bool) -> Judgement:
        key = _key(graph, images, gradient=gradient)
        known = _KNOWN.get(graph.model, {}).get(key)
        if known is not None:
            return known
        finite = bool(images.isfinite().all())  # NaN has no derivative that would be one's own
        judgement = judge(graph, images, gradient=gradient and finite)
        if judgement.error is None:
            _remember(graph, images, key, judgement)
        return judgement

    def _covers(
        self,
        graph: Graph,
        judgement: Judgement,
        images: Tensor,
        layers: Sequence[str | nn.Module] | None,
        *,
        gradient: bool,
    ) -> bool:
        """Whether a graph that is not the whole model is the model up to some layers."""
        names = named_or_none(graph, layers)
        if names is None or (layers is None and OUTPUT in judgement.unsteady):
            return False
        for name in names:
            if name not in judgement.covered and name not in judgement.tried:
                judgement.tried.add(name)
                judgement.covered |= covered_below(
                    graph, images, name, gradient=gradient, unsteady=judgement.unsteady
                )
        return set(names) <= judgement.covered


def _key(graph: Graph, images: Tensor, *, gradient: bool) -> object:
    """What a judgement depends on: graph, state of the model, and size and kind of the images."""
    count = len(images) if graph.batch or not gradient else None
    inputs = [
        (name, id(value), value._version if isinstance(value, Tensor) else repr(value))
        for name, value in graph.inputs.items()
    ]
    kind = (count, *images.shape[1:]), images.dtype, images.device
    return graph.signature, state_of(graph.model), kind, tuple(inputs), gradient


def _remember(graph: Graph, images: Tensor, key: object, judgement: Judgement) -> None:
    known = _KNOWN.setdefault(graph.model, {})
    if len(known) >= MOST:  # a model in training has another state at every step
        known.clear()
    if not _blank(images):  # others may fit the model, or wake what these leave at rest
        known[key] = judgement


def settled(graphs: Graphs, like: Tensor, layers: Sequence[str | nn.Module] | None = None) -> Graph:
    """The graph for images like this one; its values are held against the model's on noise.

    Raises:
        As ``Checked.of``.
    """
    noise = 3 * torch.randn(like.shape, generator=torch.Generator().manual_seed(0))
    return Checked(graphs).of(noise.to(like), layers, gradient=False)


def _blank(images: Tensor) -> bool:
    """Whether there is nothing to be seen in images, nor in what a model makes of them."""
    if not images.numel() or not images.isfinite().all():
        return True
    return bool((images == images.flatten()[0]).all())


def judge(graph: Graph, images: Tensor, *, gradient: bool) -> Judgement:
    """Compare a whole graph with its model."""
    result, single = compared(graph, images, () if gradient else None)
    if gradient and result.error is not None:  # a hook may not like values with a derivative
        values, _ = compared(graph, images, None)
        result = result if values.error is not None else values
    if gradient and not result.wrong and result.error is None and not result.alive:
        result = _alive(graph, single, result)
    judgement = Judgement(error=result.error, problem=next(iter(result.wrong), None))
    if result.error is None and (result.wrong or result.traces):
        calls = CALLS if result.traces.drawn else 2
        judgement.unsteady = unsteady(graph, single, calls=calls, guarded=result.guarded)
    if judgement.fine:
        judgement.covered = set(graph.nodes)
    return judgement


def covered_below(
    graph: Graph, images: Tensor, layer: str, *, gradient: bool, unsteady: Sequence[str] = ()
) -> set[str]:
    """The nodes that a comparison up to a layer shows to be right; empty if it is not.

    ``unsteady``: nodes at which the model gives several answers to one input.
    """
    point = _point(graph, layer)
    if point is None:
        return set()
    result, _ = compared(graph, images, (point,) if gradient else None)
    below = {node.name for node in graph.upto([layer, point])}
    wrong = {row.name for row in result.wrong if row.name in below or row.name == GRADIENT}
    unsettled = not below.isdisjoint(unsteady)
    return set() if wrong or unsettled or point not in result.right else below


def differs(
    graph: Graph, images: Tensor, layers: Sequence[str], result: Comparison | None = None
) -> Row | None:
    """Where a graph first differs from its model on further images, up to some layers.

    ``result`` is that of running them beside each other, if that has been done.
    """
    if result is None or result.wrong:  # in float64 too, where the precision leaves it open
        result, _ = compared(graph, images, None)
    points = [_point(graph, layer) for layer in layers]
    below = {node.name for node in graph.upto({*layers, *filter(None, points)})}
    if None in points or not below.isdisjoint(graph.returned):
        below.add(OUTPUT)
    return next((row for row in result.wrong if row.name in below), None)


def _point(graph: Graph, layer: str) -> str | None:
    """The layer if its value can be seen in the running model, else the next node that can."""
    visible = {name for names in calls_of(graph).values() for name in names}
    if layer in visible:
        return layer
    later = (node.name for node in graph if node.name in visible)
    return next((n for n in later if layer in {node.name for node in graph.upto([n])}), None)


def _alive(graph: Graph, images: Tensor, result: Comparison) -> Comparison:
    """A gradient that is zero everywhere proves nothing: start lower, until one is not."""
    visible = [name for names in calls_of(graph).values() for name in names]
    order = [node.name for node in graph if node.name in visible]
    for share in (7 / 8, 3 / 4, 1 / 2, 1 / 4, 0):
        if order:
            again, _ = compared(graph, images, (order[int(share * len(order))],))
            if again.alive or again.wrong:
                return again
    return result


def named_or_none(graph: Graph, layers: Sequence[str | nn.Module] | None) -> list[str] | None:
    """The names of nodes, as ``Graph.named``; None where it raises."""
    try:
        return graph.named(layers)
    except (KeyError, UntraceableError):
        return None


def _refused(
    judged: Sequence[tuple[Graph, Judgement]],
    refusals: Sequence[UntraceableError],
    images: Tensor,
    layers: Sequence[str | nn.Module] | None,
) -> Exception:
    """Why none of the graphs can be used for the layers."""
    graph, judgement = judged[0]
    if layers is not None and all(named_or_none(one, layers) is None for one, _ in judged):
        graph.named(layers)  # raises what is said of unknown names
    if judgement.unsteady:
        return NotTheModel.unsteady(graph.model, judgement.unsteady[0])
    if judgement.error is not None:
        return _misfit(graph, images, layers, judgement.error)
    differs = [(g.reader, j.problem) for g, j in judged]
    remedy = GRADIENTS if all(row and row.name == GRADIENT for _, row in differs) else BRANCHES
    return NotTheModel.at(graph.model, differs, refusals, remedy=remedy)


def _misfit(
    graph: Graph, images: Tensor, layers: Sequence[str | nn.Module] | None, reason: str
) -> Exception:
    """Why images cannot be run: by the node at which they stop, if the graph stops too."""
    nodes = graph.upto(named_or_none(graph, layers) or graph.returned)
    try:
        with torch.no_grad(), evaluation(graph.model):
            steps = partial(execute, graph, images.clone(), nodes, plain(graph))
            run_kept(graph, nodes, lambda: deque(steps(), 0))
    except ValueError as error:
        return error
    return ValueError(
        f"{type(graph.model).__name__} itself cannot be called on images of shape "
        f"{tuple(images.shape)} and type {images.dtype}: {reason}"
    )
