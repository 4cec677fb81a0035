"""Products of several tensors: matrix products, einsum, attention."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .functional import PerSample
from .linear import Linear
from .window import Interval, Window, broadcast_window


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
        left, right = (broadcast_window(tuple(lead), x.shape[:-2]) for x in inputs)
        every = Interval.whole()
        return (*left, row, every), (*right, every, column)

    def cost(size: torch.Size) -> int:
        return math.prod(size[1:]) * input.shape[-1]

    return PerSample(torch.matmul, sees, cost, batched), (input, other)


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

    lengths: dict[str, int] = {}
    for own, x in zip(labels, operands, strict=True):
        lengths.update(zip(own, x.shape, strict=True))

    def cost(size: torch.Size) -> int:
        return math.prod(lengths.values()) // lengths[given[0]]

    return PerSample(lambda *x: torch.einsum(equation, *x), sees, cost, batched), operands


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

    def cost(size: torch.Size) -> int:  # all queries with all keys, and what that says of values
        return math.prod(size[1:-1]) * key.shape[-2] * (query.shape[-1] + size[-1])

    return PerSample(attend, sees, cost), (query, key, value)
