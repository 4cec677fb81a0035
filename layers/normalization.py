"""Batch, instance, group, layer and local response normalisation, at evaluation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .base import Nothing, Record, SamePlaces, no_filters
from .functional import PerSample, Values, along
from .policies import Policies
from .window import Window, whole


@dataclass(frozen=True, eq=False)
class BatchNormalization(SamePlaces):
    """Batch normalisation with running statistics: a scale and a shift for every channel."""

    mean: Tensor  # (channels,), as the others
    variance: Tensor
    weight: Tensor | None
    bias: Tensor | None
    eps: float  # added to the variance
    channelwise = True

    @property
    def affine(self) -> tuple[Tensor, Tensor]:
        """The scale and the shift of each channel, (channels,) both."""
        scale = torch.rsqrt(self.variance + self.eps)
        if self.weight is not None:
            scale = scale * self.weight
        shift = -self.mean * scale
        return scale, shift if self.bias is None else shift + self.bias

    def record(self, input: Tensor) -> tuple[Tensor, Nothing]:
        """Normalise; (batch, channels, ...) -> the same."""
        output = F.batch_norm(
            input, self.mean, self.variance, self.weight, self.bias, False, 0.0, self.eps
        )
        return output, Nothing()

    def mirror(self, signal: Tensor, record: Nothing) -> tuple[Tensor]:
        """The scale."""
        return (signal * self.scale_of(signal),)

    def scale_of(self, signal: Tensor) -> Tensor:
        """The scale of each channel, of a signal's type, beside its axes."""
        return self.affine[0].to(signal.dtype).view(1, -1, *[1] * (signal.ndim - 2))


def batch_call(
    input: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Any:
    """The layer and the inputs of a call of ``torch.nn.functional.batch_norm``."""
    if training or running_mean is None or running_var is None:
        return None
    return BatchNormalization(running_mean, running_var, weight, bias, eps), (input,)


def preprocessing_module(module: nn.Module, input: Tensor) -> Any:
    """The layer and the inputs of a call of ``torchvision.transforms.Normalize``."""
    m: Any = module
    channels = input.shape[1]
    mean, deviation = (
        torch.as_tensor(x, dtype=input.dtype, device=input.device).expand(channels)
        for x in (m.mean, m.std)
    )
    return BatchNormalization(mean, deviation.square(), None, None, 0.0), (input,)


def instance_module(module: nn.Module, input: Tensor) -> Any:
    """The layer and the inputs of a call of ``nn.InstanceNorm2d`` and relatives."""
    m: Any = module
    own = m.running_mean is None  # no running statistics: those of the image itself

    def normalize(x: Tensor) -> Tensor:
        return F.instance_norm(x, m.running_mean, m.running_var, m.weight, m.bias, own, 0.0, m.eps)

    return PerSample(normalize, along(*range(2, input.ndim)), no_filters), (input,)


def group_call(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,  # the overload has it
) -> Any:
    """The layer and the inputs of a call of ``torch.nn.functional.group_norm``."""
    width = input.shape[1] // num_groups

    def sees(window: Window, inputs: tuple[Tensor, ...]) -> tuple[Window]:
        batch, channel, *places = window
        return ((batch, channel.regrouped(width, width), *whole(len(places))),)

    layer = PerSample(lambda x: F.group_norm(x, num_groups, weight, bias, eps), sees, no_filters)
    return layer, (input,)


def over_axes(function: Callable[..., Tensor]) -> Callable[..., Any]:
    """Reads calls of ``F.layer_norm`` and ``F.rms_norm``, over the last axes."""

    def read(input: Tensor, normalized_shape: Sequence[int], *args: Any, **kwargs: Any) -> Any:
        if len(normalized_shape) == input.ndim:  # the batch itself is normalised over
            return None

        def normalize(x: Tensor) -> Tensor:
            return function(x, normalized_shape, *args, **kwargs)

        last = range(-len(normalized_shape), 0)
        return PerSample(normalize, along(*last), no_filters), (input,)

    return read


@dataclass(frozen=True, eq=False)
class ResponseNormalization(SamePlaces):
    """Local response normalisation across channels (Krizhevsky 2012).

    The three steps of Zeiler & Fergus do not mention it; the code of DeSaliNet passes it by under
    deconvnet and guided, and so do those policies here. ``exact`` carries the signal by its
    derivative.
    """

    function: Callable[[Tensor], Tensor]
    size: int  # how many neighbouring channels it sums
    exact: bool = field(default=True, kw_only=True)

    def record(self, input: Tensor) -> tuple[Tensor, Record]:
        """Normalise; the input is kept only where the derivative is wanted."""
        return self.function(input), Values((input,), (True,)) if self.exact else Nothing()

    def mirror(self, signal: Tensor, record: Any) -> tuple[Tensor | None, ...]:
        """By the derivative, or unchanged."""
        return PerSample(self.function).mirror(signal, record) if self.exact else (signal,)

    def window(self, window: Window, record: Record) -> tuple[Window]:
        """The neighbouring channels of the same place."""
        batch, channel, *places = window
        if not self.exact:
            return (window,)
        return ((batch, channel.sliding(self.size, 1, self.size // 2), *places),)

    def under(self, policies: Policies) -> ResponseNormalization:
        """Exact or passed by, as the policies say."""
        exact = policies.response_normalization == "exact"
        return ResponseNormalization(self.function, self.size, exact=exact)

    def reused(
        self, record: Record, policies: Policies
    ) -> tuple[ResponseNormalization, Record] | None:
        """Where its input was kept, or is not needed."""
        other = self.under(policies)
        if other.exact and not self.exact:
            return None
        return other, record if other.exact else Nothing()


def response_call(
    input: Tensor, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0
) -> Any:
    """The layer and the inputs of a call of ``F.local_response_norm``."""
    layer = ResponseNormalization(lambda x: F.local_response_norm(x, size, alpha, beta, k), size)
    return layer, (input,)
