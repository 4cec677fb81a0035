"""What torch.export calls the operations: its overloads, read by the same readers.

A model read through ``torch.export`` is a graph of ATen overloads (``aten.relu.default``). An
activation that was missing here would be mirrored by its own derivative, which under deconvnet
and guided is another method without a word: ``tests/layers/test_aten.py`` goes through them all.
Operations in place need no line: the graph that is read has none.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from . import (
    averaging,
    casting,
    chaining,
    joining,
    normalization,
    padding,
    picking,
    rectification,
    reducing,
    reshaping,
    resizing,
    several,
    slicing,
    stacking,
)
from .convolution import Convolution, TransposedConvolution, spatial
from .linear import Linear
from .local import elementwise, softmax
from .pooling import MaxPooling

aten = torch.ops.aten
PLACEWISE = (
    "abs", "cos", "erf", "exp", "expm1", "log", "log1p", "nan_to_num", "reciprocal", "rsqrt", "sin",
    "sqrt", "square",
)  # fmt: skip


def activation(name: str, function: Callable[..., Tensor], ceiling: float | None = None) -> Any:
    """Reads calls of an activation that the rectifier rules."""
    return rectification.of_call(name, function, ceiling)


def batch_norm(
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    training: bool,
    momentum: float,
    eps: float,
    cudnn_enabled: bool,
) -> Any:
    """Reads ``aten.batch_norm``, whose arguments stand in another order than the function's."""
    return normalization.batch_call(
        input, running_mean, running_var, weight, bias, training, momentum, eps
    )


def group_norm(
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enabled: bool = True,
) -> Any:
    """Reads ``aten.group_norm``."""
    return normalization.group_call(input, num_groups, weight, bias, eps)


def layer_norm(
    input: Tensor,
    normalized_shape: Sequence[int],
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = True,
) -> Any:
    """Reads ``aten.layer_norm``."""
    return normalization.layer_call(input, normalized_shape, weight, bias, eps)


def constant_pad(input: Tensor, pad: Sequence[int], value: float = 0.0) -> Any:
    """Reads ``aten.constant_pad_nd``."""
    return padding.of_call(input, pad, "constant", value)


def part(
    input: Tensor, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Any:
    """Reads ``aten.slice``: ``input[:, start:end:step]`` with the slice at ``dim``."""
    end = None if end is not None and end >= input.shape[dim] else end
    whole = start in (None, 0) and end is None and step == 1
    axis = dim % input.ndim
    cut = slice(None) if whole else slice(start, end, step)
    return slicing.getitem(input, (*[slice(None)] * axis, cut))


def narrow(input: Tensor, dim: int, start: int, length: int) -> Any:
    """Reads ``aten.narrow``."""
    start %= max(input.shape[dim], 1)
    return part(input, dim, start, start + length)


def select(input: Tensor, dim: int, index: int) -> Any:
    """Reads ``aten.select``: ``input[:, index]`` with the index at ``dim``."""
    return slicing.getitem(input, (*[slice(None)] * (dim % input.ndim), index))


def index(input: Tensor, indices: Sequence[Tensor | None]) -> Any:
    """Reads ``aten.index``: ``input[:, indices]``."""
    return slicing.getitem(input, tuple(slice(None) if i is None else i for i in indices))


def upsampling(mode: str) -> Callable[..., Any]:
    """Reads ``aten.upsample_nearest2d`` and relatives, which do not align corners."""

    def read(input: Tensor, output_size: Any, scale_factors: Any) -> Any:
        return resizing.interpolate(input, output_size, scale_factors, mode)

    return read


def aligned_upsampling(mode: str) -> Callable[..., Any]:
    """Reads ``aten.upsample_bilinear2d`` and relatives."""

    def read(input: Tensor, output_size: Any, align_corners: bool, scale_factors: Any) -> Any:
        return resizing.interpolate(input, output_size, scale_factors, mode, align_corners)

    return read


def cast(input: Tensor, dtype: torch.dtype, *rest: Any, **kwargs: Any) -> Any:
    """Reads ``aten.to.dtype``; what else it is told says how to copy, not what."""
    return casting.cast("to")(input, dtype)


ATEN: dict[Any, Callable[..., Any]] = {
    # convolution
    aten.conv1d.default: spatial(1, Convolution.of_call),
    aten.conv1d.padding: spatial(1, Convolution.of_call),
    aten.conv2d.default: spatial(2, Convolution.of_call),
    aten.conv2d.padding: spatial(2, Convolution.of_call),
    aten.conv3d.default: spatial(3, Convolution.of_call),
    aten.conv3d.padding: spatial(3, Convolution.of_call),
    aten.conv_transpose1d.default: spatial(1, TransposedConvolution.of_call),
    aten.conv_transpose2d.input: spatial(2, TransposedConvolution.of_call),
    aten.conv_transpose3d.input: spatial(3, TransposedConvolution.of_call),
    # fully connected
    aten.linear.default: Linear.of_call,
    # max pooling
    aten.max_pool1d.default: spatial(1, MaxPooling.of_call),
    aten.max_pool2d.default: spatial(2, MaxPooling.of_call),
    aten.max_pool3d.default: spatial(3, MaxPooling.of_call),
    # averages and sums
    aten.avg_pool1d.default: spatial(1, averaging.average_pooling),
    aten.avg_pool2d.default: spatial(2, averaging.average_pooling),
    aten.avg_pool3d.default: spatial(3, averaging.average_pooling),
    aten.adaptive_avg_pool1d.default: spatial(1, averaging.adaptive_average_pooling),
    aten.adaptive_avg_pool2d.default: spatial(2, averaging.adaptive_average_pooling),
    aten.adaptive_avg_pool3d.default: spatial(3, averaging.adaptive_average_pooling),
    aten.mean.default: averaging.mean,
    aten.mean.dim: averaging.mean,
    aten.sum.default: averaging.total,
    aten.sum.dim_IntList: averaging.total,
    # normalisation
    aten.batch_norm.default: batch_norm,
    aten.group_norm.default: group_norm,
    aten.layer_norm.default: layer_norm,
    # rectifiers
    aten.relu.default: activation("ReLU", aten.relu.default, rectification.INFINITY),
    aten.relu6.default: activation("ReLU6", aten.relu6.default, 6.0),
    aten.hardtanh.default: rectification.hardtanh,
    aten.threshold.default: rectification.threshold,
    aten.clamp.default: rectification.clamp,
    aten.clip.default: rectification.clamp,
    aten.clamp_min.default: rectification.clamp,
    aten.clamp_max.default: rectification.clamp_max,
    # other activations
    aten.leaky_relu.default: activation("LeakyReLU", aten.leaky_relu.default),
    aten.prelu.default: activation("PReLU", aten.prelu.default),
    aten.rrelu.default: activation("RReLU", aten.rrelu.default),
    aten.elu.default: activation("ELU", aten.elu.default),
    aten.selu.default: activation("SELU", aten.selu.default),
    aten.celu.default: activation("CELU", aten.celu.default),
    aten.silu.default: activation("SiLU", aten.silu.default),
    aten.gelu.default: activation("GELU", aten.gelu.default),
    aten.mish.default: activation("Mish", aten.mish.default),
    aten.hardswish.default: activation("Hardswish", aten.hardswish.default),
    aten.hardsigmoid.default: activation("Hardsigmoid", aten.hardsigmoid.default),
    aten.softplus.default: activation("Softplus", aten.softplus.default),
    aten.log_sigmoid.default: activation("LogSigmoid", aten.log_sigmoid.default),
    aten.glu.default: rectification.glu,
    aten.softshrink.default: activation("Softshrink", aten.softshrink.default),
    aten.hardshrink.default: activation("Hardshrink", aten.hardshrink.default),
    aten.sigmoid.default: activation("Sigmoid", aten.sigmoid.default),
    aten.special_expit.default: activation("Sigmoid", aten.sigmoid.default),
    aten.tanh.default: activation("Tanh", aten.tanh.default),
    # where paths meet
    aten.add.Tensor: joining.add,
    aten.add.Scalar: joining.add,
    aten.sub.Tensor: joining.subtract,
    aten.sub.Scalar: joining.subtract,
    aten.rsub.Tensor: joining.reversed_subtract,
    aten.rsub.Scalar: joining.reversed_subtract,
    aten.mul.Tensor: joining.multiply,
    aten.mul.Scalar: joining.multiply,
    aten.div.Tensor: joining.divide,
    aten.div.Scalar: joining.divide,
    aten.neg.default: joining.negate,
    aten.cat.default: joining.concatenate,
    aten.concat.default: joining.concatenate,
    aten.concatenate.default: joining.concatenate,
    aten.stack.default: stacking.stack,
    # several tensors that carry the batch
    aten.matmul.default: several.matmul,
    aten.bmm.default: several.matmul,
    aten.einsum.default: several.einsum,
    aten.scaled_dot_product_attention.default: several.attention,
    aten.maximum.default: several.pointwise(aten.maximum.default),
    aten.minimum.default: several.pointwise(aten.minimum.default),
    aten.where.self: several.pointwise(aten.where.self),
    aten.addcmul.default: several.pointwise(aten.addcmul.default),
    aten.addcdiv.default: several.pointwise(aten.addcdiv.default),
    # shapes
    aten.dropout.default: reshaping.dropout,
    aten.feature_dropout.default: reshaping.dropout,
    aten.alpha_dropout.default: reshaping.dropout,
    aten.feature_alpha_dropout.default: reshaping.dropout,
    aten.contiguous.default: reshaping.passing,
    aten.clone.default: reshaping.passing,
    aten.alias.default: reshaping.passing,
    aten.flatten.using_ints: reshaping.reshape(aten.flatten.using_ints),
    aten.unflatten.int: reshaping.reshape(aten.unflatten.int),
    aten.reshape.default: reshaping.view,
    aten.view.default: reshaping.view,
    aten.squeeze.default: reshaping.reshape(aten.squeeze.default),
    aten.squeeze.dim: reshaping.reshape(aten.squeeze.dim),
    aten.squeeze.dims: reshaping.reshape(aten.squeeze.dims),
    aten.unsqueeze.default: reshaping.reshape(aten.unsqueeze.default),
    aten.permute.default: reshaping.permute(aten.permute.default),
    aten.transpose.int: reshaping.permute(aten.transpose.int),
    aten.t.default: reshaping.permute(aten.t.default),
    aten.movedim.int: reshaping.permute(aten.movedim.int),
    aten.movedim.intlist: reshaping.permute(aten.movedim.intlist),
    aten.swapaxes.default: reshaping.permute(aten.transpose.int),
    aten.swapdims.default: reshaping.permute(aten.transpose.int),
    aten.expand.default: stacking.expand,
    aten.expand_as.default: stacking.expand_as,
    aten.view_as.default: stacking.reshape_as,
    aten.reshape_as.default: stacking.reshape_as,
    aten.unbind.int: stacking.unbind,
    aten.flip.default: reducing.mixing(aten.flip.default),
    aten.cumsum.default: reducing.mixing(aten.cumsum.default),
    aten.roll.default: reducing.roll,
    aten.slice.Tensor: part,
    aten.narrow.default: narrow,
    aten.select.int: select,
    aten.index.Tensor: index,
    aten.chunk.default: slicing.chunk,
    aten.split.Tensor: slicing.split,
    aten.split.sizes: slicing.split,
    aten.split_with_sizes.default: slicing.split,
    aten.tensor_split.sections: slicing.tensor_split,
    aten.tensor_split.indices: slicing.tensor_split,
    # larger and smaller maps
    aten.upsample_nearest1d.vec: upsampling("nearest"),
    aten.upsample_nearest2d.vec: upsampling("nearest"),
    aten.upsample_nearest3d.vec: upsampling("nearest"),
    aten.upsample_linear1d.vec: aligned_upsampling("linear"),
    aten.upsample_bilinear2d.vec: aligned_upsampling("bilinear"),
    aten.upsample_bicubic2d.vec: aligned_upsampling("bicubic"),
    aten.upsample_trilinear3d.vec: aligned_upsampling("trilinear"),
    aten.pixel_shuffle.default: chaining.pixel_shuffle,
    aten.pixel_unshuffle.default: chaining.pixel_unshuffle,
    aten.channel_shuffle.default: chaining.channel_shuffle,
    # precision
    aten.to.dtype: cast,
    aten.type_as.default: casting.cast("type_as"),
    # padding
    aten.pad.default: padding.of_call,
    aten.constant_pad_nd.default: constant_pad,
    # place by place, or along one axis
    **{op: elementwise(op) for op in (getattr(aten, name).default for name in PLACEWISE)},
    aten.pow.Tensor_Scalar: elementwise(aten.pow.Tensor_Scalar),
    aten.amax.default: reducing.reduction(aten.amax.default),
    aten.amin.default: reducing.reduction(aten.amin.default),
    aten.logsumexp.default: reducing.reduction(aten.logsumexp.default),
    **picking.OVERLOADS,
    aten.softmax.int: softmax(aten.softmax.int),
    aten.log_softmax.int: softmax(aten.log_softmax.int),
}
