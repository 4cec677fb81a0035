"""Operations of several tensors that keep samples apart: matrix products, einsum, addcmul."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import MirroredLayer, Record, take
from .joining import broadcast_window
from .linear import Linear
from .window import Interval, Window


@dataclass(frozen=True, eq=False)
class Values(Record):
    """The inputs as they were, and which of them carry the batch on their first axis."""

    inputs: tuple[Tensor, ...]
    batched: tuple[bool, ...]

    @property
    def shared(self) -> tuple[bool, ...]:
        """Inputs without the batch."""
        return tuple(not own for own in self.batched)

    def take(self, index: Tensor) -> Values:
        """Rows of what carries the batch; the others serve every sample."""
        pairs = zip(self.inputs, self.batched, strict=True)
        return Values(tuple(take(x, index) if own else x for x, own in pairs), self.batched)


Sees = Callable[[Window, tuple[Tensor, ...]], tuple[Window, ...]]


@dataclass(frozen=True, eq=False)
class Joint(MirroredLayer):
    """An operation of several tensors, mirrored by its vector-Jacobian product at their values.

    Sample ``i`` of its output depends on sample ``i`` of the inputs that carry the batch and on
    all of those that do not.

    Args:
        function: tensors -> tensor, differentiable and not random.
        batched: for each input whether it carries the batch on its first axis.
        sees: window of the output, the inputs -> window of each input.
    """

    function: Callable[..., Tensor]
    batched: tuple[bool, ...]
    sees: Sees

    def record(self, *inputs: Tensor) -> tuple[Tensor, Values]:
        """Run the operation and keep its inputs."""
        return self.function(*inputs), Values(inputs, self.batched)

    def mirror(self, signal: Tensor, record: Values) -> tuple[Tensor | None, ...]:
        """The vector-Jacobian product; nothing for inputs that are no floats."""
        with torch.enable_grad():
            inputs = [x.detach() for x in record.inputs]
            wanted = [x.requires_grad_() for x in inputs if x.is_floating_point()]
            found = iter(torch.autograd.grad(self.function(*inputs), wanted, signal))
        return tuple(next(found) if x.is_floating_point() else None for x in inputs)

    def window(self, window: Window, record: Values) -> tuple[Window, ...]:
        """As ``sees`` says."""
        return self.sees(window, record.inputs)


def pointwise(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of a function of tensors that works place by place, with broadcasting."""

    def read(*tensors: Any, **numbers: Any) -> Any:
        if not all(isinstance(x, Tensor) for x in tensors) or not _plain(numbers):
            return None
        size = _broadcast(tensors)
        if not size:
            return None
        batched = tuple(len(x.shape) == len(size) and x.shape[0] == size[0] for x in tensors)

        def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
            return tuple(broadcast_window(window, x.shape) for x in inputs)

        return Joint(lambda *x: function(*x, **numbers), batched, sees), tensors

    return read


def _broadcast(tensors: tuple[Tensor, ...]) -> torch.Size:
    sizes = [x.shape for x in tensors]
    return torch.Size(torch.broadcast_shapes(*sizes))  # type: ignore[no-untyped-call]


def _plain(numbers: dict[str, Any]) -> bool:
    return not any(isinstance(value, Tensor) for value in numbers.values())


def matmul(input: Tensor, other: Tensor) -> Any:
    """The layer and the inputs of ``torch.matmul`` and ``torch.bmm``.

    A matrix product along the batch itself mixes the samples, unless the other factor is a
    parameter: then it is a linear layer.
    """
    if other.ndim == 2 and isinstance(other, nn.Parameter):
        return Linear(other.t()), (input,)
    rank = max(input.ndim, other.ndim)
    if rank < 3 or min(input.ndim, other.ndim) < 2:
        return None
    batch = max(x.shape[0] for x in (input, other) if x.ndim == rank)
    batched = tuple(x.ndim == rank and x.shape[0] == batch for x in (input, other))

    def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
        *lead, row, column = window
        left, right = inputs
        every = Interval.whole()
        return _seen(lead, left, (row, every)), _seen(lead, right, (every, column))

    return Joint(torch.matmul, batched, sees), (input, other)


def _seen(lead: list[Interval], factor: Tensor, places: Window) -> Window:
    """The window of a factor whose leading axes were broadcast."""
    return (*broadcast_window(tuple(lead), factor.shape[:-2]), *places)


def einsum(equation: Any, *operands: Any) -> Any:
    """The layer and the inputs of ``torch.einsum`` with its output written out: "bij,bjk->bik"."""
    if len(operands) == 1 and isinstance(operands[0], (tuple, list)):
        operands = tuple(operands[0])
    if not isinstance(equation, str) or "->" not in equation or "." in equation:
        return None
    taken, given = equation.replace(" ", "").split("->")
    labels = taken.split(",")
    if not given or any(given[0] in own[1:] for own in labels):  # the batch is not in front
        return None
    batched = tuple(own.startswith(given[0]) for own in labels)
    if not any(batched):
        return None

    def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
        at = dict(zip(given, window, strict=True))
        return tuple(tuple(at.get(label, Interval.whole()) for label in own) for own in labels)

    return Joint(lambda *x: torch.einsum(equation, *x), batched, sees), operands


def attention(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """The layer and the inputs of ``F.scaled_dot_product_attention``."""
    alike = query.shape[:-2] == key.shape[:-2] == value.shape[:-2]
    if query.ndim < 3 or not alike or dropout_p > 0 or attn_mask is not None or enable_gqa:
        return None

    def attend(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        return F.scaled_dot_product_attention(q, k, v, is_causal=is_causal, scale=scale)

    def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window, ...]:
        *lead, place, feature = window
        every = Interval.whole()
        return (*lead, place, every), (*lead, every, every), (*lead, every, feature)

    return Joint(attend, (True, True, True), sees), (query, key, value)
