"""Layers given by a function alone: a linear one by its adjoint, any other by its derivative."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from .base import Cost, Inside, MirroredLayer, Record, Signal, no_filters, take
from .crop import Crop
from .window import Interval, Window, broadcast_window, whole


def leaf(value: Any) -> Any:
    """A tensor of floats as a leaf of autograd's; any other value as it is."""
    if isinstance(value, Tensor) and (value.is_floating_point() or value.is_complex()):
        return value.detach().requires_grad_()
    return value


def pullback(
    function: Callable[..., Any], inputs: Sequence[Tensor], signal: Signal
) -> tuple[Tensor | None, ...]:
    """The vector-Jacobian product at these inputs of a function that returns one or more tensors.

    The signal is shaped like the output, None where nothing arrives. Integers among the inputs, and
    inputs where nothing arrives, get None.
    """
    with torch.enable_grad():
        leaves = [leaf(x) for x in inputs]
        output = function(*leaves)
        one = isinstance(output, Tensor)
        pairs = zip((output,) if one else output, (signal,) if one else signal, strict=True)
        there = [(out, part) for out, part in pairs if part is not None]
        wanted = [x for x in leaves if x.requires_grad]
        if not there or not wanted:
            return (None,) * len(leaves)
        outputs, signals = zip(*there, strict=True)
        slopes = iter(torch.autograd.grad(outputs, wanted, signals, allow_unused=True))
    return tuple(next(slopes) if x.requires_grad else None for x in leaves)


def adjoint(function: Callable[[Tensor], Tensor], size: torch.Size, signal: Tensor) -> Tensor:
    """The transpose of a linear function of this size of input, applied to a signal.

    It does not depend on where the derivative is taken: here at zero.
    """
    (back,) = pullback(function, (signal.new_zeros(size),), signal)
    assert back is not None, "the output depends on the input"
    return back


@dataclass(frozen=True, eq=False)
class Sizes(Record):
    """The sizes of the inputs of a linear layer, and whether it keeps samples apart."""

    sizes: tuple[torch.Size, ...]
    per_sample: bool = True

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Sizes:
        """The sizes of the crops."""
        cut = (crop.sized(size) for size, crop in zip(self.sizes, inputs, strict=True))
        return replace(self, sizes=tuple(cut))


@dataclass(frozen=True, eq=False)
class LinearMap(MirroredLayer):
    """A linear operation given by its forward function alone; its mirror is the exact adjoint.

    Only the sizes of the inputs are remembered.

    Args:
        function: tensors -> tensor, or a tuple of them; linear.
        sees: window of the output, size of each input -> window of the input, or of each of them.
        bare: the same function without padding, where it runs on crops (see ``inside``).
        cost: size of the output -> multiply-adds, see ``multiply_adds``; None for unknown.
        per_sample: whether sample ``i`` of the output depends on sample ``i`` of the inputs alone.
    """

    function: Callable[..., Any]
    sees: Callable[..., Any]
    bare: Callable[..., Any] | None = None
    cost: Cost = None
    per_sample: bool = True

    def record(self, *inputs: Tensor) -> tuple[Any, Sizes]:
        """Run the function."""
        return self.function(*inputs), Sizes(tuple(x.shape for x in inputs), self.per_sample)

    def mirror(self, signal: Signal, record: Sizes) -> tuple[Tensor | None, ...]:
        """The adjoint of the function."""
        like = signal if isinstance(signal, Tensor) else next(x for x in signal if x is not None)
        zeros = [like.new_zeros(size) for size in record.sizes]
        return pullback(self.function, zeros, signal)

    def window(self, window: Any, record: Sizes) -> tuple[Any, ...]:
        """As ``sees`` says."""
        seen = self.sees(window, *record.sizes)
        return tuple(seen) if len(record.sizes) > 1 else (seen,)

    def inside(self, record: Sizes) -> Inside | None:
        """Without padding."""
        return None if self.bare is None else Inside(replace(self, function=self.bare), 0.0)

    def multiply_adds(self, size: torch.Size) -> int | None:
        """As ``cost`` says."""
        return self.cost and self.cost(size)


def linear(function: Callable[..., Any], sees: Any, *, per_sample: bool = True) -> LinearMap:
    """A linear map without filters."""
    return LinearMap(function, sees, cost=no_filters, per_sample=per_sample)


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


Sees = Callable[[Any, tuple[Tensor, ...]], tuple[Any, ...]]


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
        function: tensors -> tensor, or a tuple of them; differentiable and not random.
        sees: window of the output, the inputs -> window of each input.
        cost: size of the output -> multiply-adds, see ``multiply_adds``; None for unknown.
        batched: for each input whether it carries the batch on its first axis; empty: all do.
    """

    function: Callable[..., Any]
    sees: Sees = unchanged
    cost: Cost = None
    batched: tuple[bool, ...] = ()

    def record(self, *inputs: Tensor) -> tuple[Any, Values]:
        """Run the operation and keep its inputs."""
        return self.function(*inputs), Values(inputs, self.batched or (True,) * len(inputs))

    def mirror(self, signal: Signal, record: Values) -> tuple[Tensor | None, ...]:
        """The vector-Jacobian product at the recorded inputs; None for inputs of integers."""
        return pullback(self.function, record.inputs, signal)

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
