"""The difference of two values, and how large it may be in each precision."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

TOLERANCE = {
    torch.float64: 1e-8,
    torch.float32: 1e-4,
    torch.float16: 2e-2,
    torch.bfloat16: 5e-2,
}
"""The relative L2 difference at which two values no longer agree."""
_PARTED = (torch.float32, torch.float64)  # in lower precisions single channels are rounded off
_LEAST = 0.1  # of an image's root mean square: a weaker channel counts as one of this size


def agrees(difference: float, dtype: torch.dtype) -> bool:
    """Whether a relative L2 difference is explained by rounding in this precision."""
    return difference <= TOLERANCE.get(dtype, 1e-4)


def difference(actual: Any, expected: Any) -> float:
    """The greatest relative L2 difference of the tensors in two values.

    It is taken of each channel of each image: beside large values, small ones may be wrong and
    not be seen in a norm over all of them.

    Infinite where the values hold other numbers of tensors, or tensors of another shape.
    """
    pairs = list(tensors(actual)), list(tensors(expected))
    if len(pairs[0]) != len(pairs[1]):
        return float("inf")
    return max((_of_two(a, b) for a, b in zip(*pairs, strict=True)), default=0.0)


def _of_two(actual: Tensor, expected: Tensor) -> float:
    if actual.shape != expected.shape:
        return float("inf")
    dtype = expected.dtype
    actual, expected = _plain(actual), _plain(expected)
    if torch.equal(actual, expected):
        return 0.0
    same = (actual == expected) | (actual.isnan() & expected.isnan())
    zero = torch.zeros((), dtype=actual.dtype, device=actual.device)
    gaps = torch.where(same, zero, actual - expected)
    sizes = torch.where(expected.isfinite(), expected, zero)
    gap, size = _norm(gaps), _norm(sizes)
    if gap == 0:
        return 0.0
    if not size > 0 or gap != gap:
        return float("inf")
    if dtype not in _PARTED or actual.ndim < 2:
        return gap / size
    parts, wholes = (_of_channels(values / size) for values in (gaps, sizes))
    least = _LEAST * wholes.square().mean(dim=1, keepdim=True).sqrt()  # each image by itself
    sizes = wholes.maximum(least).clamp(min=torch.finfo(wholes.dtype).tiny)
    return max(gap / size, float((parts / sizes).max()))


def _of_channels(values: Tensor) -> Tensor:
    """The L2 norm of each channel of each image."""
    return values.abs().flatten(2).norm(dim=2) if values.ndim > 2 else values.abs()


def _norm(values: Tensor) -> float:
    """The L2 norm, also of values whose squares are too small or too large for their precision."""
    greatest = float(values.abs().max()) if values.numel() else 0.0
    if greatest == 0 or not math.isfinite(greatest):
        return greatest
    return greatest * float((values / greatest).norm())


def _plain(value: Tensor) -> Tensor:
    """On this device and in a precision that norms can be taken in."""
    if value.is_quantized:
        value = value.dequantize()
    value = value.detach()
    return value if value.dtype.is_complex or value.dtype == torch.float64 else value.float()


def tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in a value: in tuples, lists, dictionaries and data classes."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, Mapping):
        for part in value.values():
            yield from tensors(part)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        for field in dataclasses.fields(value):
            yield from tensors(getattr(value, field.name))


def told(actual: Any, expected: Any) -> tuple[str, str, int | None]:
    """Two values at the place where they differ most, as a line each, and its row of the batch."""
    pairs = list(tensors(actual)), list(tensors(expected))
    if len(pairs[0]) != len(pairs[1]):
        return f"{len(pairs[0])} tensors", f"{len(pairs[1])} tensors", None
    one, other = max(zip(*pairs, strict=True), key=lambda pair: _of_two(*pair))
    if one.shape != other.shape:
        return f"shape {tuple(one.shape)}", f"shape {tuple(other.shape)}", None
    gap = (_plain(one) - _plain(other)).abs().nan_to_num(nan=float("inf"))
    at = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape))
    where = f" at {at}" if at else ""
    values = f"{_plain(one)[at]:.5g}{where}", f"{_plain(other)[at]:.5g}{where}"
    return *values, at[0] if at else None
