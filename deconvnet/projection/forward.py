"""Images go up the graph once; what the mirror will need is remembered."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import Hooks, hooked, revoke
from deconvnet.graph.inplace import refuse_shared, refuse_written
from deconvnet.graph.interpreter import execute
from deconvnet.graph.modes import evaluation
from deconvnet.graph.node import Node, arguments, run_call
from deconvnet.graph.own_functions import Applied
from deconvnet.layers import (
    TABLE,
    Local,
    MirroredLayer,
    Policies,
    Record,
    UnmirroredError,
    reader_for,
)
from deconvnet.layers.crop import layout
from deconvnet.layers.local import Traced

from .hooked_calls import Opaque, Together, after, before, of_container
from .opaque import ruled, samples_tried
from .recording import Recording, Step
from .unseen_activations import applied, refuse_unseen

__all__ = ["Bound", "Recorder", "Recording", "Step", "bind", "record"]


def record(
    graph: Graph, images: Tensor, layers: Sequence[str], *, policies: Policies, keep: bool = True
) -> Recording:
    """Run the images up to the layers and remember what the mirror needs of the way.

    Args:
        graph: the model.
        images: (batch, channels, *size), as the model takes them.
        layers: node names.
        policies: they decide what is remembered.
        keep: keep the activations of the layers; without, only sizes and records.

    Raises:
        UnmirroredError: a node on the way has no rule under the policies.
        ValueError: the images do not fit the model.
    """
    nodes = graph.upto(layers)
    images = images.contiguous(memory_format=layout(images))
    recorder = Recorder(graph, policies)
    activations: dict[str, Tensor] = {}
    sizes: dict[str, torch.Size] = {}
    with torch.no_grad(), evaluation(graph.model):
        for node, value in execute(graph, images, nodes, recorder.run):
            if isinstance(value, Tensor):
                sizes[node.name] = value.shape
            if keep and node.name in layers:
                activations[node.name] = _activation(node, value)
    empty = images.new_empty(1)
    return Recording(
        graph.input, tuple(recorder.steps), activations, sizes, policies, empty,
        tuple(recorder.blocks),
    )  # fmt: skip


def _activation(node: Node, value: Any) -> Tensor:
    if isinstance(value, Tensor) and value.is_floating_point() and value.ndim >= 2:
        return value
    found = f"shape {tuple(value.shape)}" if isinstance(value, Tensor) else type(value).__name__
    raise ValueError(
        f"{node.name} ({node.kind}) has no feature maps: its value is {found}; choose a layer "
        "whose value is a float tensor (batch, channels, ...)"
    )


Bound = tuple[MirroredLayer, tuple[Any, ...], tuple[str | None, ...]]


class Recorder:
    """Runs nodes as mirrored layers and writes the steps down.

    Args:
        graph: the model.
        policies: they decide what is remembered.

    Attributes:
        steps: the nodes that carry a signal, as far as they have run.
        carriers: their names, and the images'.
        blocks: the nodes that read one of these and give tensors that carry no signal.
    """

    def __init__(self, graph: Graph, policies: Policies) -> None:
        self.graph = graph
        self.policies = policies
        self.steps: list[Step] = []
        self.carriers = {graph.input}
        self.blocks: list[str] = []

    def run(self, node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        """The node's value, as ``execute`` wants it.

        Args:
            node: to run.
            values: {node: value} of what it reads, and of others.
            readers: {node: how many more nodes read its value}.

        Raises:
            UnmirroredError: it has no rule under the policies.
        """
        args, kwargs = arguments(node, self.graph.names, values)
        carried = [source for source in node.sources if source in self.carriers]
        if not carried:
            return run_call(node, args, kwargs)
        if not node.state.grad:
            output = run_call(node, args, kwargs)
        else:
            output = self._in_its_state(node, values, readers, carried, args, kwargs)
        if node.name not in self.carriers and any(map(torch.is_tensor, pytree.tree_leaves(output))):
            self.blocks.append(node.name)
        return output

    def _in_its_state(
        self, node: Node, values: dict[str, Any], readers: Mapping[str, int], *call: Any
    ) -> Any:
        if node.mutates:
            refuse_shared(node, values, readers)
        try:
            with node.state.entered():
                return self._recorded(node, values, readers, *call)
        except UnmirroredError as error:
            raise UnmirroredError(f"at {node.name}: {error}") from None

    def _recorded(
        self,
        node: Node,
        values: dict[str, Any],
        readers: Mapping[str, int],
        carried: list[str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Any:
        held = {source: values[source] for source in carried}
        if isinstance(node.call.target, Hooks):
            found = of_container(node.call.target, args, held, self.policies)
            if not isinstance(found.layer, Together):
                revoke(node.call.target.module)
            self._add(node, node.name, found)
            return found.value
        if node.module is not None and hooked(node.module) and reader_for(node.module):
            done, output = self._hooked(node, values, held, args, kwargs)
            if done:
                return output
        layer, inputs, sources = self._bind(node, values, carried, args, kwargs)
        layer = layer.under(self.policies)
        output, kept = layer.record(*inputs)
        if isinstance(kept, Traced):
            refuse_unseen(kept.outputs, self.policies)
            refuse_written(node, [sources[i] for i in kept.written], readers)
        self._step(node, node.name, (layer, inputs, sources), output, kept)
        return output

    def _hooked(
        self,
        node: Node,
        values: dict[str, Any],
        entry: dict[str, Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> tuple[bool, Any]:
        """A module between its hooks: whether it could be recorded so, and its output."""
        assert node.module is not None, "only modules have hooks"

        def filled(now: Mapping[str, Any]) -> Any:
            return arguments(node, self.graph.names, {**values, **now})

        first = before(node.module, filled, entry, self.policies)
        alone = first.alone() if first is not None else None
        if first is not None:
            revoke(node.module)
            if alone is None:
                return False, None
            args, kwargs = first.value
            entry = {f"{node.name}<": alone[0]}
        bound = bind(node, args, kwargs, entry)
        if bound is None:
            revoke(node.module)  # its hooks run where nobody sees what they change
            return False, None
        layer, inputs, sources = bound[0].under(self.policies), *bound[1:]
        output, kept = layer.record(*inputs)
        last = after(node.module, (args, kwargs), {f"{node.name}=": output}, entry, self.policies)
        if last is not None:
            revoke(node.module)
        if alone is not None:
            self._add(node, f"{node.name}<", alone[1])
        name = node.name if last is None else f"{node.name}="
        self._step(node, name, (layer, inputs, sources), output, kept)
        if last is None:
            return True, output
        self._add(node, node.name, last)
        return True, last.value

    def _add(self, node: Node, name: str, found: Opaque) -> None:
        bound = found.layer, (), found.sources
        self._step(node, name, bound, found.value, found.record)

    def _step(self, node: Node, name: str, bound: Bound, output: Any, kept: Record) -> None:
        """Write a step down, if a signal can come back through it."""
        layer, inputs, sources = bound
        silent = isinstance(kept, Traced) and kept.silent
        if _carries(output) and not silent:
            self.carriers.add(name)
            dtypes = tuple(getattr(x, "dtype", None) for x in inputs) if node.state.autocast else ()
            self.steps.append(Step(name, layer, kept, sources, node.state, dtypes))

    def _bind(
        self,
        node: Node,
        values: dict[str, Any],
        carried: list[str],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> Bound:
        """The mirrored layer of a node, its inputs, and the nodes they came from."""
        found = bind(node, args, kwargs, {source: values[source] for source in carried})
        if found is not None:
            return found
        held = {source: values[source] for source in node.sources}

        def call(*inputs: Any) -> Any:
            now = {**held, **dict(zip(carried, inputs, strict=True))}
            return run_call(node, *arguments(node, self.graph.names, now))

        layer: MirroredLayer
        if isinstance(node.call.target, Applied):
            layer = applied(node.call.target, call, len(carried), self.policies)
        else:
            tried = samples_tried(node, self.policies)
            layer = Local(ruled(call, self.policies, module=node.module), tried)
        return layer, tuple(held[s] for s in carried), tuple(carried)


def bind(
    node: Node, args: tuple[Any, ...], kwargs: dict[str, Any], carried: Mapping[str, Any]
) -> Bound | None:
    """The mirrored layer of a call, its inputs, and the nodes they came from.

    Args:
        node: whose call it is.
        args: with the values of other nodes in them.
        kwargs: the same.
        carried: {node: value} of those that carry a signal.

    Returns:
        None if the table does not know the call, or not all that it takes.
    """
    found = _read(node, args, kwargs)
    if found is None:
        return None
    layer, inputs = found
    names = {id(value): source for source, value in carried.items()}
    sources = tuple(names.get(id(value)) for value in inputs)
    return (layer, inputs, sources) if set(carried) <= set(sources) else None


def _read(node: Node, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The layer and the inputs of a call, if the table knows it."""
    if node.module is not None:
        reader = reader_for(node.module)
        args = (node.module, *args)
    else:
        reader = TABLE.get(node.call.target)
    if reader is None:
        return None
    try:
        inspect.signature(reader).bind(*args, **kwargs)
    except TypeError:  # a spelling with arguments the reader does not know
        return None
    return reader(*args, **kwargs)


def _carries(value: Any) -> bool:
    """Whether a signal can come back through a value: it holds a float or complex tensor."""
    tensors = [leaf for leaf in pytree.tree_leaves(value) if isinstance(leaf, Tensor)]
    return any(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors)
