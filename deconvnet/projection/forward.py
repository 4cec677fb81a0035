"""The forward pass: run images through the graph once and record what the mirror needs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn
from torch.utils import _pytree as pytree

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import Hooks, hooked, make_weights
from deconvnet.graph.inplace import refuse_shared, refuse_written
from deconvnet.graph.interpreter import execute
from deconvnet.graph.kept_parameters import run_kept, writes
from deconvnet.graph.modes import evaluation
from deconvnet.graph.node import Node, arguments, run_call
from deconvnet.graph.observed_hooks import revoke, sizes_alone
from deconvnet.graph.own_functions import Applied
from deconvnet.layers import (
    Activation,
    Local,
    MirroredLayer,
    Nothing,
    Policies,
    Record,
    UnmirroredError,
    in_place,
)
from deconvnet.layers.crop import layout
from deconvnet.layers.policies import Gradient
from deconvnet.layers.rectification import Active
from deconvnet.layers.reshaping import Passing

from .binding import Bindings, Call, bind
from .cone import Cone
from .folding import Folding
from .geometry import Geometry, Step
from .hooked_calls import Bound, HookedCalls, Made
from .opaque import applied, refuse_unseen, ruled, samples_tried
from .recording import Recording
from .shown_values import Kept
from .windows import cut


def record(
    graph: Graph,
    images: Tensor,
    layers: Sequence[str],
    *,
    policies: Policies,
    cone: Cone | None = None,
    bound: Bindings | None = None,
    folding: Folding | None = None,
) -> Recording:
    """Run images up to some layers and remember what the mirror needs.

    Args:
        graph: the model.
        images: (batch, channels, *size), as the model takes them.
        layers: node names.
        policies: they decide what is remembered.
        cone: of units of these images: nodes that it has windows of are run on these alone, and
            the activations of its layer are (units, channels, *size of the windows).
        bound: layers that were bound before, on windows of images of this size, to calls of the
            model as it is; what can be bound once is added.
        folding: which convolutions take the normalisation behind them; for cones alone.

    Raises:
        UnmirroredError: a node on the way has no rule under the policies.
        ValueError: the images do not fit the model.
    """
    run = ForwardPass(graph, policies, cone, bound, folding)
    left = frozenset[str]() if cone is None else cone.left
    nodes = [node for node in graph.upto(layers) if node.name not in left]
    activations = run.of(images, layers, nodes)
    return Recording(
        graph.input, tuple(run.steps), run.sizes, run.dtypes, activations, policies,
        images.new_empty(1), tuple(run.blocks),
    )  # fmt: skip


def geometry_of(graph: Graph, image: Tensor, layers: Sequence[str] | None = None) -> Geometry:
    """The geometry of a model for images of one size: no activation is refused, no value kept.

    The image is (batch, channels, *size) of any content; the geometry goes up to the layers, by
    default everywhere. Hooks do not see it, unless what they give for its size is not known.

    Raises:
        ValueError: the image does not fit the model, or a layer has no feature maps.
    """
    run = ForwardPass(graph, _SIZES_ALONE)
    nodes = graph.upto(graph.nodes if layers is None else layers)
    with sizes_alone(graph.model):
        run.of(image, layers or (), nodes)
    return Geometry(graph.input, tuple(run.steps), run.sizes, run.dtypes)


class _Passed(Gradient):
    """The rule of a forward pass for sizes alone: it has every activation, and remembers none."""

    def remember(self, z: Tensor, a: Tensor, activation: Activation) -> Any:
        """Nothing."""


_SIZES_ALONE = Policies(_Passed())


def _activation(node: Node, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.is_floating_point() and value.ndim >= 2:
        return value
    given = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"{node.name} ({node.kind}) has no feature maps: its value is {given}; choose a layer "
        "whose value is a float tensor (batch, channels, ...)"
    )


_TOGETHER: WeakSet[nn.Module] = WeakSet()
"""Modules that run as one with their hooks, which hand each other values."""


class ForwardPass:
    """One run of a graph with every node as its mirrored layer; the steps are written down.

    The policies decide what is remembered; nodes of which the cone has windows run on these alone.

    Attributes:
        steps: the nodes that carry a signal, as far as they have run.
        carriers: their names, and the images'.
        blocks: the nodes that read one of these and give tensors that carry no signal.
        sizes, dtypes: of all values that are tensors, by node.
    """

    def __init__(
        self,
        graph: Graph,
        policies: Policies,
        cone: Cone | None = None,
        bound: Bindings | None = None,
        folding: Folding | None = None,
    ) -> None:
        self.graph, self.policies, self.cone, self.folding = graph, policies, cone, folding
        self._bound_before = {} if bound is None else bound
        self.steps: list[Step] = []
        self.carriers = {graph.input}
        self.blocks: list[str] = []
        self.sizes: dict[str, torch.Size] = {}
        self.dtypes: dict[str, torch.dtype] = {}
        self.hooks = HookedCalls(policies)
        self._folded: set[str] = set()  # normalisations that their convolution has done
        self._own: set[str] = set()  # nodes whose value is a new tensor that is read once
        self._held: set[str] = set()  # such as a record holds, to which only cells on maps matter

    def of(self, images: Tensor, layers: Sequence[str], nodes: Sequence[Node]) -> dict[str, Tensor]:
        """Run nodes on images; {layer: its value}.

        Raises:
            ValueError: the images do not fit the model, or a layer has no feature maps.
        """
        return run_kept(self.graph, nodes, lambda: self._of(images, layers, nodes))

    def _of(
        self, images: Tensor, layers: Sequence[str], nodes: Sequence[Node]
    ) -> dict[str, Tensor]:
        self.steps, self.carriers, self.blocks = [], {self.graph.input}, []
        self.sizes, self.dtypes, self.hooks = {}, {}, HookedCalls(self.policies)
        activations: dict[str, Tensor] = {}
        if writes(self.graph.model):  # it runs on other copies each time
            self._bound_before = {}
        if self.cone is None:
            images = images.contiguous(memory_format=layout(images))
        with torch.no_grad(), evaluation(self.graph.model), closing(self.hooks):
            for node, value in execute(self.graph, images, nodes, self.run):
                if isinstance(value, Tensor):
                    self.sizes[node.name], self.dtypes[node.name] = value.shape, value.dtype
                if node.name in layers:
                    activations[node.name] = _activation(node, value)
        return activations

    def run(self, node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        """The node's value, as ``execute`` wants it.

        Raises:
            UnmirroredError: it has no rule under the policies.
        """
        cone = self.cone if self.cone is not None and node.name in self.cone.seen else None
        windows = None if cone is None else cut(cone, node.name, values, own=self._own | self._held)
        if self.folding is not None and node.name in self._folded:  # its convolution has done it
            value = values[node.sources[0]] if windows is None else windows[0]
            self._own.update({node.name} & self.folding.once)
            return self._step(
                node, node.name, (Passing(), (value,), node.sources), value, Nothing()
            )
        if cone is not None and windows is not None:
            sources = cone.steps[node.name].sources
            known = self._bound_before.get((node.name, self.policies))
            if known is not None:
                known, *made = self._run(node.name, known, windows, sources[0])
                return self._step(node, node.name, (known, tuple(windows), sources), *made)
            values = {**values, **dict(zip(map(str, sources), windows, strict=True))}
        call = arguments(node, self.graph.names, values)
        carried = {source: values[source] for source in node.sources if source in self.carriers}
        if not carried:
            return run_call(node, *call)
        if not node.state.grad:
            output = run_call(node, *call)
        else:
            if node.mutates:
                refuse_shared(node, values, readers)
            try:
                with node.state.entered():
                    output = self._recorded(node, values, readers, carried, call, cone)
            except UnmirroredError as error:
                raise UnmirroredError(f"at {node.name}: {error}") from None
        if node.name not in self.carriers and any(map(torch.is_tensor, pytree.tree_leaves(output))):
            self.blocks.append(node.name)
        return output

    def _recorded(
        self,
        node: Node,
        values: dict[str, Any],
        readers: Mapping[str, int],
        carried: dict[str, Any],
        call: Call,
        cone: Cone | None,
    ) -> Any:
        if isinstance(node.call.target, Hooks):
            made = self.hooks.of_container(node.call.target, call[0], carried)
            return self._step(node, node.name, *made)
        module, mirrors = node.module, self.graph.mirrors
        alone = module not in _TOGETHER
        if module is not None and hooked(module) and mirrors.of_module(module) is not None:
            if cone is not None:  # on windows there are no hooks but those
                make_weights(module)
            elif alone and (steps := self._hooked(node, values, carried, call)):
                return [self._step(node, name, *made) for name, made in steps.items()][-1]
        layer, inputs, sources = self._bound(node, values, carried, call)
        layer = layer.under(self.policies)
        if cone is not None:
            inside = layer.inside(cone.steps[node.name].record)
            assert inside is not None, "the layer is of the kind that it was"
            layer = inside.layer
        bound = layer
        layer, output, kept = self._run(node.name, layer, inputs, sources[0])
        lasts = not (kept.graph or kept.written) and self.carriers.issuperset(node.sources)
        if cone is not None and lasts and self.graph.binds_alike(node):
            self._bound_before[node.name, self.policies] = bound
        refuse_unseen(kept.graph, self.policies)
        if module is not None:
            self.hooks.whole(kept, node.name)
        refuse_written(node, [sources[i] for i in kept.written], readers)
        return self._step(node, node.name, (layer, inputs, sources), output, kept)

    def _run(
        self, name: str, layer: MirroredLayer, inputs: Sequence[Any], source: str | None
    ) -> tuple[MirroredLayer, Any, Record]:
        """Run a node's layer, with the normalisation behind it if it takes that.

        ``source``: of the first input.
        """
        if self.folding is None:
            return layer, *layer.record(*inputs)
        folded = self.folding.of(name, layer)
        if folded is not None:
            self._folded.add(self.folding.behind[name].name)
            layer = folded
        own = source in self._own
        output, kept = in_place.recorded(layer, inputs) if own else layer.record(*inputs)
        if name in self.folding.once and in_place.is_new(layer):
            (self._held if isinstance(kept, Active) else self._own).add(name)
        return layer, output, kept

    def _hooked(
        self, node: Node, values: dict[str, Any], entry: dict[str, Any], call: Call
    ) -> dict[str, Made]:
        """The steps of a module between its hooks, by name; empty if it cannot be recorded so."""
        assert node.module is not None, "only modules have hooks"
        name, steps = node.name, dict[str, Made]()

        def filled(now: dict[str, Any]) -> Any:
            return arguments(node, self.graph.names, {**values, **now})

        first = self.hooks.before(node.module, name, filled, entry)
        if first is not None:
            alone = first.alone()
            if alone is None:
                return {}
            call, entry, steps[f"{name}<"] = first.value, {f"{name}<": alone[0]}, alone[1]
        bound = bind(self.graph, node, call, entry)
        if bound is None:
            revoke(node.module)  # its hooks run where nobody sees what they change
            return {}
        layer = bound[0].under(self.policies)
        output, kept = layer.record(*bound[1])
        try:
            last = self.hooks.after(node.module, name, call, output, entry)
        except Kept as kept_before:
            if kept_before.name != name:
                raise
            _TOGETHER.add(node.module)  # the hooks before it have kept what those behind it use
            return {}
        steps[name if last is None else f"{name}="] = Made((layer, *bound[1:]), output, kept)
        return steps if last is None else {**steps, name: last}

    def _step(self, node: Node, name: str, bound: Bound, output: Any, kept: Record) -> Any:
        """Record a step, if a signal can come back through it; returns its output."""
        layer, inputs, sources = bound
        if _carries(output) and not kept.silent:
            self.carriers.add(name)
            dtypes = tuple(getattr(x, "dtype", None) for x in inputs) if node.state.autocast else ()
            self.steps.append(Step(name, layer, kept, sources, node.state, dtypes))
        return output

    def _bound(
        self, node: Node, values: dict[str, Any], carried: dict[str, Any], call: Call
    ) -> Bound:
        """The mirrored layer of a node, its inputs, and the nodes they came from."""
        module = node.module
        together = module is not None and module in _TOGETHER and hooked(module)
        known = None if together else bind(self.graph, node, call, carried)
        if known is not None:
            return known
        held = {source: values[source] for source in node.sources}

        def run(*inputs: Any) -> Any:
            now = {**held, **dict(zip(carried, inputs, strict=True))}
            return run_call(node, *arguments(node, self.graph.names, now))

        layer: MirroredLayer
        if isinstance(node.call.target, Applied):
            layer = applied(node.call.target, run, len(carried), self.policies)
        else:
            tried = samples_tried(node, self.policies)
            layer = Local(ruled(run, self.policies, module=node.module), tried)
        return layer, tuple(carried.values()), tuple(carried)


def _carries(value: Any) -> bool:
    """Whether a signal can come back through a value: it holds a float or complex tensor."""
    leaves = [value] if isinstance(value, Tensor) else pytree.tree_leaves(value)
    tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
    return any(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors)
