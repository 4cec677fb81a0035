"""The table: which mirrored layer stands for a module, a function, a method or an ATEN overload.

Each row is a reader and the names under which the operation is called: ``read(module, *args)`` or
``read(*args)`` returns the layer and the tensors that enter it, or None where this particular call
is beyond it. ``aten.relu.default`` and its kind are what torch.export calls the operations; an
activation that was missing here would be mirrored by its own derivative, which under deconvnet and
guided is another method without a word: ``tests/layers/test_aten.py`` goes through them all.
Overloads in place need no name: the graph that is read has none.
"""

from __future__ import annotations

import operator
from collections.abc import Iterator
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision import transforms
from torchvision.models.swin_transformer import shifted_window_attention
from torchvision.ops import FrozenBatchNorm2d, StochasticDepth, stochastic_depth
from torchvision.transforms import v2

from . import aten as overloads
from . import (
    casting,
    joining,
    normalization,
    padding,
    pooling,
    products,
    rectification,
    reducing,
    reshaping,
    resizing,
    slicing,
)
from .convolution import Convolution, TransposedConvolution
from .functional import elementwise, samplewise, softmax
from .linear import Linear
from .pooling import AdaptiveMaxPooling, MaxPooling
from .readers import Reader, of_module, spatial
from .rectification import INFINITY

aten = torch.ops.aten
activation = rectification.of_call
OF_MODULE = (
    nn.ReLU, nn.ReLU6, nn.Hardtanh, nn.Threshold, nn.LeakyReLU, nn.PReLU, nn.RReLU, nn.ELU, nn.SELU,
    nn.CELU, nn.SiLU, nn.GELU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Softplus, nn.Softsign,
    nn.Sigmoid, nn.LogSigmoid, nn.Tanh, nn.Tanhshrink, nn.Hardshrink, nn.Softshrink,
)  # fmt: skip
NOTHING_DONE = (
    nn.Identity, nn.Dropout, nn.Dropout1d, nn.Dropout2d, nn.Dropout3d, nn.AlphaDropout,
    nn.FeatureAlphaDropout, StochasticDepth,
)  # fmt: skip

Row = tuple[Any, ...]  # a reader, and the names that it reads


def _table(rows: list[Row]) -> dict[Any, Reader]:
    return {name: reader for reader, *names in rows for name in names}


def _each(read: Any, names: str, *, methods: bool = True) -> Iterator[Row]:
    """A row for each function of torch: as a function, a method and an overload."""
    for name in names.split():
        function, packet = getattr(torch, name), getattr(aten, name)
        yield read(function), function, packet.default, *[name] * methods


ACTIVATIONS: dict[Any, Reader] = _table([
    (rectification.of_module, *OF_MODULE),
    # rectifiers
    (activation("ReLU", F.relu, INFINITY, torch.relu_), F.relu, F.relu_, torch.relu, torch.relu_,
     "relu", "relu_", aten.relu.default),
    (activation("ReLU6", F.relu6, 6.0), F.relu6, aten.relu6.default),
    (rectification.hardtanh, F.hardtanh, F.hardtanh_, aten.hardtanh.default),
    (rectification.threshold, F.threshold, torch.threshold, torch.threshold_,
     aten.threshold.default),
    (rectification.clamp, torch.clamp, torch.clamp_, torch.clip, torch.clip_, torch.clamp_min,
     torch.clamp_min_, "clamp", "clamp_", "clip", "clip_", "clamp_min", "clamp_min_",
     aten.clamp.default, aten.clip.default, aten.clamp_min.default),
    (rectification.clamp_max, torch.clamp_max, torch.clamp_max_, "clamp_max", "clamp_max_",
     aten.clamp_max.default),
    # other activations
    (rectification.glu, F.glu, aten.glu.default),
    (of_module(rectification.glu, "dim"), nn.GLU),
    (activation("LeakyReLU", F.leaky_relu), F.leaky_relu, F.leaky_relu_, aten.leaky_relu.default),
    (activation("PReLU", torch.prelu), F.prelu, torch.prelu, "prelu", aten.prelu.default),
    (activation("RReLU", F.rrelu), F.rrelu, F.rrelu_, torch.rrelu, torch.rrelu_),
    (activation("RReLU", aten.rrelu.default), aten.rrelu.default),
    (activation("ELU", F.elu), F.elu, F.elu_),
    (activation("ELU", aten.elu.default), aten.elu.default),  # it has two scales more
    (activation("SELU", F.selu), F.selu, F.selu_, torch.selu, torch.selu_, aten.selu.default),
    (activation("CELU", F.celu), F.celu, F.celu_, torch.celu, torch.celu_, aten.celu.default),
    (activation("SiLU", F.silu), F.silu, aten.silu.default),
    (activation("GELU", F.gelu), F.gelu, aten.gelu.default),
    (activation("Mish", F.mish), F.mish, aten.mish.default),
    (activation("Hardswish", F.hardswish), F.hardswish, aten.hardswish.default),
    (activation("Hardsigmoid", F.hardsigmoid), F.hardsigmoid, aten.hardsigmoid.default),
    (activation("Softplus", F.softplus), F.softplus, aten.softplus.default),
    (activation("Softsign", F.softsign), F.softsign),
    (activation("LogSigmoid", F.logsigmoid), F.logsigmoid, aten.log_sigmoid.default),
    (activation("Tanhshrink", F.tanhshrink), F.tanhshrink),
    (activation("Softshrink", F.softshrink), F.softshrink, aten.softshrink.default),
    (activation("Hardshrink", F.hardshrink), F.hardshrink, torch.hardshrink, "hardshrink",
     aten.hardshrink.default),
    (activation("Sigmoid", torch.sigmoid), torch.sigmoid, torch.sigmoid_, F.sigmoid, "sigmoid",
     "sigmoid_", aten.sigmoid.default, aten.special_expit.default),
    (activation("Tanh", torch.tanh), torch.tanh, torch.tanh_, F.tanh, "tanh", "tanh_",
     aten.tanh.default),
])  # fmt: skip

_PADS = {"constant": ("ZeroPad", "ConstantPad"), "reflect": ("ReflectionPad",),
         "replicate": ("ReplicationPad",), "circular": ("CircularPad",)}  # fmt: skip


def _of_axes(axes: int) -> Iterator[Row]:
    """The rows of operations that torch has for one, two and three spatial axes each."""
    here = f"{axes}d"

    def named(place: Any, name: str) -> Any:
        return getattr(place, name + here)

    transpose = named(aten, "conv_transpose")
    for read, *names in [
        (of_module(Convolution.of_call, "weight", "bias", "stride", "padding", "dilation", "groups",
                   "padding_mode"), named(nn, "Conv")),
        (Convolution.of_call, named(F, "conv"), named(aten, "conv").default,
         named(aten, "conv").padding),
        (TransposedConvolution.of_module, named(nn, "ConvTranspose")),
        (TransposedConvolution.of_call, named(F, "conv_transpose"),
         transpose.default if axes == 1 else transpose.input),
        (of_module(MaxPooling.of_call, "kernel_size", "stride", "padding", "dilation", "ceil_mode",
                   "return_indices"), named(nn, "MaxPool")),
        (MaxPooling.of_call, named(F, "max_pool"), named(torch, "max_pool"),
         named(aten, "max_pool").default),
        (of_module(AdaptiveMaxPooling.of_call, "output_size", "return_indices"),
         named(nn, "AdaptiveMaxPool")),
        (AdaptiveMaxPooling.of_call, named(F, "adaptive_max_pool")),
        (of_module(pooling.average_pooling, "kernel_size", "stride", "padding", "ceil_mode",
                   "count_include_pad", "divisor_override"), named(nn, "AvgPool")),
        (pooling.average_pooling, named(F, "avg_pool"), named(aten, "avg_pool").default),
        (of_module(pooling.adaptive_average_pooling, "output_size"),
         named(nn, "AdaptiveAvgPool")),
        (pooling.adaptive_average_pooling, named(F, "adaptive_avg_pool"),
         named(aten, "adaptive_avg_pool").default),
        (normalization.instance_module, named(nn, "InstanceNorm")),
    ]:  # fmt: skip
        yield spatial(axes, read), *names
    for mode, kinds in _PADS.items():
        yield padding.of_module(mode), *(named(nn, kind) for kind in kinds)


TABLE: dict[Any, Reader] = _table([
    *(row for axes in (1, 2, 3) for row in _of_axes(axes)),
    # fully connected
    (of_module(Linear.of_call, "weight", "bias"), nn.Linear),
    (Linear.of_call, F.linear, aten.linear.default),
    # averages and sums
    (reducing.summing(torch.mean), torch.mean, "mean", aten.mean.default, aten.mean.dim),
    (reducing.summing(torch.sum), torch.sum, "sum", aten.sum.default, aten.sum.dim_IntList),
    # normalisation
    (of_module(normalization.batch_call, "running_mean", "running_var", "weight", "bias",
               eps="eps"), nn.BatchNorm1d, nn.BatchNorm2d, nn.BatchNorm3d, nn.SyncBatchNorm,
     FrozenBatchNorm2d),
    (normalization.batch_call, F.batch_norm),
    (overloads.batch_norm, aten.batch_norm.default),
    (normalization.preprocessing_module, transforms.Normalize, v2.Normalize),
    (of_module(normalization.group_call, "num_groups", "weight", "bias", "eps"), nn.GroupNorm),
    (normalization.group_call, F.group_norm, aten.group_norm.default),
    (of_module(normalization.over_axes(F.layer_norm), "normalized_shape", "weight", "bias", "eps"),
     nn.LayerNorm),
    (normalization.over_axes(F.layer_norm), F.layer_norm),
    (normalization.over_axes(aten.layer_norm.default), aten.layer_norm.default),
    (of_module(normalization.over_axes(F.rms_norm), "normalized_shape", "weight", "eps"),
     nn.RMSNorm),
    (normalization.over_axes(F.rms_norm), F.rms_norm),
    (of_module(normalization.response_call, "size", "alpha", "beta", "k"), nn.LocalResponseNorm),
    (normalization.response_call, F.local_response_norm),
    # where paths meet
    (joining.add, operator.add, operator.iadd, torch.add, "add", "add_", aten.add.Tensor,
     aten.add.Scalar),
    (joining.subtract, operator.sub, operator.isub, torch.sub, "sub", "sub_", aten.sub.Tensor,
     aten.sub.Scalar),
    (joining.reversed_subtract, torch.rsub, aten.rsub.Tensor, aten.rsub.Scalar),
    (joining.multiply, operator.mul, operator.imul, torch.mul, "mul", "mul_", aten.mul.Tensor,
     aten.mul.Scalar),
    (joining.divide, operator.truediv, operator.itruediv, torch.div, "div", "div_",
     aten.div.Tensor, aten.div.Scalar),
    (joining.negate, operator.neg, torch.neg, aten.neg.default),
    (joining.concatenate, torch.cat, torch.concat, aten.cat.default, aten.concat.default,
     aten.concatenate.default),
    (joining.stack, torch.stack, aten.stack.default),
    # several tensors that carry the batch
    (products.matmul, torch.matmul, operator.matmul, "matmul", torch.bmm, "bmm",
     aten.matmul.default, aten.bmm.default),
    (products.einsum, torch.einsum, aten.einsum.default),
    (products.attention, F.scaled_dot_product_attention, aten.scaled_dot_product_attention.default),
    *_each(joining.pointwise, "addcmul addcdiv maximum minimum"),
    (joining.pointwise(torch.where), torch.where, aten.where.self),
    (samplewise(shifted_window_attention), shifted_window_attention),
    # shapes
    (of_module(reshaping.passing), *NOTHING_DONE),
    (reshaping.dropout, F.dropout, F.dropout2d, F.dropout3d, aten.dropout.default,
     aten.feature_dropout.default, aten.alpha_dropout.default, aten.feature_alpha_dropout.default),
    (reshaping.stochastic_depth, stochastic_depth),
    (reshaping.passing, "contiguous", "clone", aten.contiguous.default, aten.clone.default,
     aten.alias.default),
    (reshaping.flatten_module, nn.Flatten, nn.Unflatten),
    (reshaping.reshape(torch.flatten), torch.flatten, "flatten", aten.flatten.using_ints),
    (reshaping.reshape(torch.reshape), torch.reshape),
    (reshaping.view, "reshape", "view", aten.reshape.default, aten.view.default),
    (reshaping.reshape(torch.squeeze), torch.squeeze, "squeeze", aten.squeeze.default,
     aten.squeeze.dim, aten.squeeze.dims),
    (reshaping.reshape(torch.unsqueeze), torch.unsqueeze, "unsqueeze", aten.unsqueeze.default),
    (reshaping.reshape(Tensor.unflatten), "unflatten", aten.unflatten.int),
    (reshaping.permute(Tensor.permute), torch.permute, "permute", aten.permute.default),
    (reshaping.permute(torch.transpose), torch.transpose, torch.swapaxes, torch.swapdims,
     "transpose", "swapaxes", "swapdims", aten.transpose.int, aten.swapaxes.default,
     aten.swapdims.default),
    (reshaping.permute(torch.t), aten.t.default),
    (reshaping.permute(torch.movedim), torch.movedim, "movedim", aten.movedim.int,
     aten.movedim.intlist),
    (reshaping.reshape_as, "view_as", "reshape_as", aten.view_as.default, aten.reshape_as.default),
    (reshaping.expand, "expand", aten.expand.default),
    (reshaping.expand_as, "expand_as", aten.expand_as.default),
    (slicing.unbind, torch.unbind, "unbind", aten.unbind.int),
    (reducing.roll, torch.roll, "roll", aten.roll.default),
    *_each(reducing.mixing, "flip cumsum"),
    # parts
    (slicing.getitem, operator.getitem),
    (overloads.part, aten.slice.Tensor),
    (overloads.narrow, aten.narrow.default),
    (overloads.select, aten.select.int),
    (overloads.index, aten.index.Tensor),
    (slicing.named_entry, getattr),
    (slicing.cutting(torch.chunk), torch.chunk, "chunk", aten.chunk.default),
    (slicing.cutting(torch.split), torch.split, "split", aten.split.Tensor, aten.split.sizes,
     aten.split_with_sizes.default),
    (slicing.cutting(torch.tensor_split), torch.tensor_split, "tensor_split",
     aten.tensor_split.sections,
     aten.tensor_split.indices),
    # larger and smaller maps
    (resizing.interpolate, F.interpolate, F.upsample),
    (of_module(resizing.interpolate, "size", "scale_factor", "mode", "align_corners",
               "recompute_scale_factor"), nn.Upsample),
    (overloads.upsampling("nearest"), aten.upsample_nearest1d.vec, aten.upsample_nearest2d.vec,
     aten.upsample_nearest3d.vec),
    (overloads.upsampling("linear"), aten.upsample_linear1d.vec),
    (overloads.upsampling("bilinear"), aten.upsample_bilinear2d.vec),
    (overloads.upsampling("bicubic"), aten.upsample_bicubic2d.vec),
    (overloads.upsampling("trilinear"), aten.upsample_trilinear3d.vec),
    (reshaping.pixel_shuffle, F.pixel_shuffle, torch.pixel_shuffle, aten.pixel_shuffle.default),
    (reshaping.pixel_unshuffle, F.pixel_unshuffle, torch.pixel_unshuffle,
     aten.pixel_unshuffle.default),
    (reshaping.channel_shuffle, F.channel_shuffle, torch.channel_shuffle,
     aten.channel_shuffle.default),
    (of_module(reshaping.pixel_shuffle, "upscale_factor"), nn.PixelShuffle),
    (of_module(reshaping.pixel_unshuffle, "downscale_factor"), nn.PixelUnshuffle),
    (of_module(reshaping.channel_shuffle, "groups"), nn.ChannelShuffle),
    # precision and device
    *((casting.cast(name), name) for name in
      ("to", "type", "float", "double", "half", "bfloat16", "cpu")),
    (casting.cast("type_as"), "type_as", aten.type_as.default),
    (overloads.cast, aten.to.dtype),
    # padding
    (padding.of_call, F.pad, aten.pad.default),
    (overloads.constant_pad, aten.constant_pad_nd.default),
    # place by place, or along one axis
    *_each(elementwise, "abs cos erf exp expm1 log log1p nan_to_num reciprocal rsqrt sin sqrt"),
    *_each(elementwise, "square"),
    (elementwise(torch.pow), torch.pow, "pow", operator.pow, aten.pow.Tensor_Scalar),
    (softmax(F.softmax), F.softmax),
    (softmax(torch.softmax), torch.softmax, "softmax", aten.softmax.int),
    (softmax(F.log_softmax), F.log_softmax),
    (softmax(torch.log_softmax), aten.log_softmax.int),
    (of_module(softmax(F.softmax), "dim"), nn.Softmax),
    (reducing.normalize, F.normalize),
    *_each(reducing.reduction, "amax amin logsumexp"),
    *((reducing.reduction(getattr(torch, name)), getattr(torch, name), name) for name in
      ("std", "var")),
    (reducing.reduction(torch.norm, 1), torch.norm, "norm"),
    (reducing.reduction(torch.linalg.vector_norm, 1), torch.linalg.vector_norm),
    *reducing.PICKING,  # max, min, median, topk, sort
]) | ACTIVATIONS  # fmt: skip
