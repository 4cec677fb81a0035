"""Any other differentiable operation, mirrored by its own vector-Jacobian product."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .base import Cost, Inside, MirroredLayer, Record, Signal, no_filters, take
from .crop import Crop
from .packing import Packed, Signals, stay_apart
from .window import Interval, Window, broadcast_window, whole


@dataclass(frozen=True, eq=False)
class Values(Record):
    """The inputs of a forward pass, as they were.

    Args:
        inputs: (batch, ...) each, or without the batch.
        batched: for each input whether it carries the batch on its first axis.
    """

    inputs: tuple[Tensor, ...]
    batched: tuple[bool, ...]

    @property
    def per_sample(self) -> bool:
        """Tensors without axes have no samples."""
        return any(self.batched)

    @property
    def shared(self) -> tuple[bool, ...]:
        """Inputs without the batch."""
        return tuple(not own for own in self.batched)

    def take(self, index: Tensor) -> Values:
        """Rows of the inputs that carry the batch; the others serve every sample."""
        pairs = zip(self.inputs, self.batched, strict=True)
        return Values(tuple(take(x, index) if own else x for x, own in pairs), self.batched)

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Values:
        """The crops of each."""
        pairs = zip(self.inputs, inputs, strict=True)
        return Values(tuple(crop.of(x) for x, crop in pairs), self.batched)


Sees = Callable[[Window, tuple[Tensor, ...]], tuple[Window, ...]]


def unchanged(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
    """What an elementwise operation of one tensor sees: the same places."""
    return (window,) * len(inputs)


def broadcasting(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
    """What an elementwise operation of several tensors sees of each."""
    return tuple(broadcast_window(window, x.shape) for x in inputs)


@dataclass(frozen=True, eq=False)
class PerSample(MirroredLayer):
    """An operation known to treat each sample by itself, mirrored at its recorded inputs.

    Sample ``i`` of its output depends on sample ``i`` of the inputs that carry the batch, and on
    all of those that do not.

    Args:
        function: tensors -> tensor, differentiable and not random.
        sees: window of the output, the inputs -> window of each input.
        cost: size of the output -> multiply-adds, see ``multiply_adds``; None for unknown.
        batched: for each input whether it carries the batch on its first axis; empty: all do.
    """

    function: Callable[..., Tensor]
    sees: Sees = unchanged
    cost: Cost = None
    batched: tuple[bool, ...] = ()

    def record(self, *inputs: Tensor) -> tuple[Tensor, Values]:
        """Run the operation and keep its inputs."""
        return self.function(*inputs), Values(inputs, self.batched or (True,) * len(inputs))

    def mirror(self, signal: Tensor, record: Values) -> tuple[Tensor | None, ...]:
        """The vector-Jacobian product at the recorded inputs; None for inputs of integers."""
        with torch.enable_grad():
            inputs = [_leaf(x) for x in record.inputs]
            wanted = [x for x in inputs if x.requires_grad]
            found = iter(torch.autograd.grad(self.function(*inputs), wanted, signal))
        return tuple(next(found) if x.requires_grad else None for x in inputs)

    def window(self, window: Window, record: Values) -> tuple[Window, ...]:
        """As ``sees`` says."""
        return self.sees(window, record.inputs)

    def inside(self, record: Values) -> Inside | None:
        """The same, for elementwise operations.

        Where cells are broadcast, the mirror would add up what lies outside of the maps.
        """
        aligned = len({x.shape[2:] for x in record.inputs}) == 1 and all(record.batched)
        own = self.sees is unchanged or (self.sees is broadcasting and aligned)
        return Inside(self) if own else None

    def multiply_adds(self, size: torch.Size) -> int | None:
        """As ``cost`` says."""
        return self.cost and self.cost(size)


@dataclass(frozen=True, eq=False)
class Traced(Record):
    """A forward pass with the graph that autograd made of it.

    Args:
        leaves: the inputs, as autograd's leaves; what is no float tensor is None.
        outputs: the tensors of the output, flattened; None where a tensor carries no signal.
        layout: how the outputs lie in the output's containers.
        written: which inputs the operation wrote into.
        tried: {sizes and types: whether samples stay apart}, to be filled; of a node's passes.
    """

    leaves: tuple[Any, ...]
    outputs: tuple[Tensor | None, ...]
    layout: pytree.TreeSpec
    written: tuple[int, ...] = ()
    tried: MutableMapping[Any, bool] = field(default_factory=dict)

    @property
    def per_sample(self) -> bool:
        """Nothing is known of the operation: it may mix the samples of a batch."""
        return False

    @cached_property
    def apart(self) -> bool:
        """Whether they stay apart in the graph that was kept, tried once for each size."""
        there = [x for x in (*self.wanted, *self.outputs) if x is not None]
        alike = tuple((x.shape, x.dtype, x.device) for x in there)
        if alike not in self.tried:
            self.tried[alike] = stay_apart(self)
        return self.tried[alike]

    def take(self, index: Tensor) -> Packed:
        """The same graph, for signals of some samples; where they stay ``apart``."""
        return Packed(self, index)

    @cached_property
    def wanted(self) -> list[Tensor]:
        """The leaves that a signal can go to."""
        flat = pytree.tree_leaves(self.leaves)
        return [x for x in flat if isinstance(x, Tensor) and x.requires_grad]

    def back(self, signals: Signals) -> list[Tensor | None]:
        """What autograd sends to ``wanted`` for a signal at each output; None for nothing."""
        pairs = [
            (out, signal)
            for out, signal in zip(self.outputs, signals, strict=True)
            if out is not None and signal is not None
        ]
        if not pairs or not self.wanted:
            return [None] * len(self.wanted)
        outs, seeds = zip(*pairs, strict=True)
        return list(
            torch.autograd.grad(outs, self.wanted, seeds, retain_graph=True, allow_unused=True)
        )

    @property
    def graph(self) -> tuple[Tensor | None, ...]:
        """The outputs."""
        return self.outputs

    @property
    def silent(self) -> bool:
        """True if no output can carry a signal: the operation stops gradients."""
        return all(output is None for output in self.outputs)


@dataclass(frozen=True, eq=False)
class Local(MirroredLayer):
    """An operation of which nothing is known but that it runs.

    It is run under autograd and the graph of this one step is kept, so that the mirror is exact
    even for random operations; the samples of a batch are not told apart. It is given copies: it
    may write into its inputs, or into views of them, where nobody sees it.

    Args:
        function: values (tensors, or containers of tensors) -> value.
        tried: see ``Traced``.
    """

    function: Callable[..., Any]
    tried: MutableMapping[Any, bool] = field(default_factory=dict)

    def record(self, *inputs: Any) -> tuple[Any, Traced]:
        """Run the operation under autograd; float tensors of the inputs become leaves."""
        leaves = pytree.tree_map(_leaf, inputs)
        with torch.enable_grad():
            given = pytree.tree_map(_copy, leaves)
            fresh = [_writes(one) for one in given]
            output = self.function(*given)
        written = tuple(i for i, one in enumerate(given) if _writes(one) != fresh[i])
        flat, layout = pytree.tree_flatten(output)
        kept = tuple(o if isinstance(o, Tensor) and o.requires_grad else None for o in flat)
        plain = [o.detach() if isinstance(o, Tensor) else o for o in flat]
        traced = Traced(leaves, kept, layout, written, self.tried)
        return pytree.tree_unflatten(plain, layout), traced

    def mirror(self, signal: Signal, record: Traced | Packed) -> tuple[Signal, ...]:
        """The vector-Jacobian product of the kept graph."""
        kept = record.whole if isinstance(record, Packed) else record
        assert isinstance(kept, Traced), "nothing else is kept of this layer"
        bare = kept.layout.num_leaves == 1 and isinstance(signal, Tensor)
        found = iter(record.back([signal] if bare else _flattened(signal, kept.layout)))
        flat, layout = pytree.tree_flatten(kept.leaves)
        back = [next(found) if isinstance(x, Tensor) and x.requires_grad else None for x in flat]
        return tuple(pytree.tree_unflatten(back, layout))

    def window(self, window: Any, record: Traced) -> tuple[Any, ...]:
        """Everything."""
        return tuple(
            pytree.tree_map(lambda x: whole(x.ndim) if isinstance(x, Tensor) else None, leaf)
            for leaf in record.leaves
        )


def _leaf(value: Any) -> Any:
    if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
        return value.detach().requires_grad_()
    return value


def _writes(value: Any) -> int:
    """How often the tensors of an input, or views of them, were written into: torch counts."""
    return sum(x._version for x in pytree.tree_leaves(value) if isinstance(x, Tensor))


def _copy(value: Any) -> Any:
    # laid out as usual: an unknown operation may look at the values as lying in a row
    usual = torch.contiguous_format
    return value.clone(memory_format=usual) if isinstance(value, Tensor) else value


def _flattened(signal: Signal, layout: pytree.TreeSpec) -> list[Any]:
    """The signals in the order of the outputs, with None where nothing arrives."""
    if signal is None:
        return [None] * layout.num_leaves
    if layout.is_leaf():
        return [signal]
    parts = signal.values() if isinstance(signal, dict) else signal
    below = layout.children() if hasattr(layout, "children") else layout.children_specs
    pairs = zip(parts, below, strict=True)
    return [leaf for part, one in pairs for leaf in _flattened(part, one)]


def along(*axes: int) -> Sees:
    """What an operation sees that mixes these axes (softmax, layer norm): all of them."""

    def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
        mixed = {axis % inputs[0].ndim for axis in axes}
        seen = tuple(Interval.whole() if i in mixed else w for i, w in enumerate(window))
        return (seen,) * len(inputs)

    return sees


def elementwise(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function of one tensor and numbers that works place by place."""

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        if any(isinstance(extra, Tensor) for extra in (*args, *kwargs.values())):
            return None
        return PerSample(lambda x: function(x, *args, **kwargs), cost=no_filters), (input,)

    return read


def softmax(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of ``softmax`` and ``log_softmax`` along an axis that is not the batch."""

    def read(input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
        if dim is None or dim % input.ndim == 0:
            return None
        layer = PerSample(lambda x: function(x, dim, *args, **kwargs), along(dim), no_filters)
        return layer, (input,)

    return read


def samplewise(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function known to treat each sample of its first argument by itself."""

    def everything(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
        return ((window[0], *whole(inputs[0].ndim - 1)),)

    def read(input: Tensor, *args: Any, **kwargs: Any) -> Any:
        return PerSample(lambda x: function(x, *args, **kwargs), everything), (input,)

    return read
