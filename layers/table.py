"""The table: which mirrored layer stands for a module, a function or a tensor method.

Each value reads one call: ``read(module, *args)`` or ``read(*args)`` returns the layer and the
tensors that enter it, or None where this particular call is beyond it.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import transforms
from torchvision.models.swin_transformer import shifted_window_attention
from torchvision.ops import FrozenBatchNorm2d, StochasticDepth, stochastic_depth
from torchvision.transforms import v2

from . import (
    averaging,
    casting,
    chaining,
    joining,
    normalization,
    padding,
    picking,
    reducing,
    reshaping,
    resizing,
    several,
    slicing,
    stacking,
)
from .aten import ATEN
from .convolution import Convolution, TransposedConvolution, spatial
from .linear import Linear
from .local import elementwise, per_sample, softmax, softmax_module
from .pooling import AdaptiveMaxPooling, MaxPooling
from .table_of_activations import ACTIVATIONS

Reader = Callable[..., Any]
PLACEWISE = (
    "abs", "cos", "erf", "exp", "expm1", "log", "log1p", "nan_to_num", "pow", "reciprocal",
    "rsqrt", "sin", "sqrt", "square",
)  # fmt: skip
STATISTICS = ("amax", "amin", "logsumexp", "std", "var")
TABLE: dict[Any, Reader] = {
    # convolution
    nn.Conv1d: spatial(1, Convolution.of_module),
    nn.Conv2d: spatial(2, Convolution.of_module),
    nn.Conv3d: spatial(3, Convolution.of_module),
    F.conv1d: spatial(1, Convolution.of_call),
    F.conv2d: spatial(2, Convolution.of_call),
    F.conv3d: spatial(3, Convolution.of_call),
    nn.ConvTranspose1d: spatial(1, TransposedConvolution.of_module),
    nn.ConvTranspose2d: spatial(2, TransposedConvolution.of_module),
    nn.ConvTranspose3d: spatial(3, TransposedConvolution.of_module),
    F.conv_transpose1d: spatial(1, TransposedConvolution.of_call),
    F.conv_transpose2d: spatial(2, TransposedConvolution.of_call),
    F.conv_transpose3d: spatial(3, TransposedConvolution.of_call),
    # fully connected
    nn.Linear: Linear.of_module,
    F.linear: Linear.of_call,
    # max pooling
    nn.MaxPool1d: spatial(1, MaxPooling.of_module),
    nn.MaxPool2d: spatial(2, MaxPooling.of_module),
    nn.MaxPool3d: spatial(3, MaxPooling.of_module),
    F.max_pool1d: spatial(1, MaxPooling.of_call),
    F.max_pool2d: spatial(2, MaxPooling.of_call),
    F.max_pool3d: spatial(3, MaxPooling.of_call),
    torch.max_pool1d: spatial(1, MaxPooling.of_call),
    torch.max_pool2d: spatial(2, MaxPooling.of_call),
    torch.max_pool3d: spatial(3, MaxPooling.of_call),
    nn.AdaptiveMaxPool1d: spatial(1, AdaptiveMaxPooling.of_module),
    nn.AdaptiveMaxPool2d: spatial(2, AdaptiveMaxPooling.of_module),
    nn.AdaptiveMaxPool3d: spatial(3, AdaptiveMaxPooling.of_module),
    F.adaptive_max_pool1d: spatial(1, AdaptiveMaxPooling.of_call),
    F.adaptive_max_pool2d: spatial(2, AdaptiveMaxPooling.of_call),
    F.adaptive_max_pool3d: spatial(3, AdaptiveMaxPooling.of_call),
    # averages and sums
    nn.AvgPool1d: spatial(1, averaging.average_pooling_module),
    nn.AvgPool2d: spatial(2, averaging.average_pooling_module),
    nn.AvgPool3d: spatial(3, averaging.average_pooling_module),
    F.avg_pool1d: spatial(1, averaging.average_pooling),
    F.avg_pool2d: spatial(2, averaging.average_pooling),
    F.avg_pool3d: spatial(3, averaging.average_pooling),
    nn.AdaptiveAvgPool1d: spatial(1, averaging.adaptive_average_pooling_module),
    nn.AdaptiveAvgPool2d: spatial(2, averaging.adaptive_average_pooling_module),
    nn.AdaptiveAvgPool3d: spatial(3, averaging.adaptive_average_pooling_module),
    F.adaptive_avg_pool1d: spatial(1, averaging.adaptive_average_pooling),
    F.adaptive_avg_pool2d: spatial(2, averaging.adaptive_average_pooling),
    F.adaptive_avg_pool3d: spatial(3, averaging.adaptive_average_pooling),
    torch.mean: averaging.mean,
    "mean": averaging.mean,
    torch.sum: averaging.total,
    "sum": averaging.total,
    # normalisation
    nn.BatchNorm1d: normalization.batch_module,
    nn.BatchNorm2d: normalization.batch_module,
    nn.BatchNorm3d: normalization.batch_module,
    nn.SyncBatchNorm: normalization.batch_module,
    FrozenBatchNorm2d: normalization.batch_module,
    transforms.Normalize: normalization.preprocessing_module,
    v2.Normalize: normalization.preprocessing_module,
    F.batch_norm: normalization.batch_call,
    nn.InstanceNorm1d: spatial(1, normalization.instance_module),
    nn.InstanceNorm2d: spatial(2, normalization.instance_module),
    nn.InstanceNorm3d: spatial(3, normalization.instance_module),
    nn.GroupNorm: normalization.group_module,
    F.group_norm: normalization.group_call,
    nn.LayerNorm: normalization.layer_module,
    F.layer_norm: normalization.layer_call,
    nn.LocalResponseNorm: normalization.response_module,
    F.local_response_norm: normalization.response_call,
    **ACTIVATIONS,
    # where paths meet
    operator.add: joining.add,
    operator.iadd: joining.add,
    torch.add: joining.add,
    **dict.fromkeys(("add", "add_"), joining.add),
    operator.sub: joining.subtract,
    operator.isub: joining.subtract,
    torch.sub: joining.subtract,
    **dict.fromkeys(("sub", "sub_"), joining.subtract),
    torch.rsub: joining.reversed_subtract,
    operator.mul: joining.multiply,
    operator.imul: joining.multiply,
    torch.mul: joining.multiply,
    **dict.fromkeys(("mul", "mul_"), joining.multiply),
    operator.truediv: joining.divide,
    operator.itruediv: joining.divide,
    torch.div: joining.divide,
    **dict.fromkeys(("div", "div_"), joining.divide),
    operator.neg: joining.negate,
    torch.neg: joining.negate,
    torch.cat: joining.concatenate,
    torch.concat: joining.concatenate,
    torch.stack: stacking.stack,
    # several tensors that carry the batch
    **dict.fromkeys((torch.matmul, operator.matmul, "matmul"), several.matmul),
    **dict.fromkeys((torch.bmm, "bmm"), several.matmul),
    torch.einsum: several.einsum,
    F.scaled_dot_product_attention: several.attention,
    **dict.fromkeys((torch.addcmul, "addcmul"), several.pointwise(torch.addcmul)),
    **dict.fromkeys((torch.addcdiv, "addcdiv"), several.pointwise(torch.addcdiv)),
    **dict.fromkeys((torch.maximum, "maximum"), several.pointwise(torch.maximum)),
    **dict.fromkeys((torch.minimum, "minimum"), several.pointwise(torch.minimum)),
    torch.where: several.pointwise(torch.where),
    shifted_window_attention: per_sample(shifted_window_attention),
    # shapes
    nn.Identity: reshaping.passing_module,
    nn.Dropout: reshaping.passing_module,
    nn.Dropout1d: reshaping.passing_module,
    nn.Dropout2d: reshaping.passing_module,
    nn.Dropout3d: reshaping.passing_module,
    nn.AlphaDropout: reshaping.passing_module,
    nn.FeatureAlphaDropout: reshaping.passing_module,
    StochasticDepth: reshaping.passing_module,
    F.dropout: reshaping.dropout,
    F.dropout2d: reshaping.dropout,
    F.dropout3d: reshaping.dropout,
    stochastic_depth: reshaping.stochastic_depth,
    "contiguous": reshaping.passing,
    "clone": reshaping.passing,
    nn.Flatten: reshaping.flatten_module,
    nn.Unflatten: reshaping.flatten_module,
    torch.flatten: reshaping.reshape(torch.flatten),
    "flatten": reshaping.reshape(torch.flatten),
    torch.reshape: reshaping.reshape(torch.reshape),
    "reshape": reshaping.view,
    "view": reshaping.view,
    torch.squeeze: reshaping.reshape(torch.squeeze),
    "squeeze": reshaping.reshape(torch.squeeze),
    torch.unsqueeze: reshaping.reshape(torch.unsqueeze),
    "unsqueeze": reshaping.reshape(torch.unsqueeze),
    "unflatten": reshaping.reshape(torch.Tensor.unflatten),
    torch.permute: reshaping.permute(torch.permute),
    "permute": reshaping.permute(torch.Tensor.permute),
    torch.transpose: reshaping.permute(torch.transpose),
    "transpose": reshaping.permute(torch.transpose),
    torch.movedim: reshaping.permute(torch.movedim),
    **dict.fromkeys((torch.swapaxes, torch.swapdims), reshaping.permute(torch.transpose)),
    **dict.fromkeys(("swapaxes", "swapdims"), reshaping.permute(torch.transpose)),
    "movedim": reshaping.permute(torch.movedim),
    **dict.fromkeys(("view_as", "reshape_as"), stacking.reshape_as),
    "expand": stacking.expand,
    "expand_as": stacking.expand_as,
    **dict.fromkeys((torch.unbind, "unbind"), stacking.unbind),
    **dict.fromkeys((torch.roll, "roll"), reducing.roll),
    **dict.fromkeys((torch.flip, "flip"), reducing.mixing(torch.flip)),
    **dict.fromkeys((torch.cumsum, "cumsum"), reducing.mixing(torch.cumsum)),
    operator.getitem: slicing.getitem,
    getattr: picking.named_entry,
    torch.chunk: slicing.chunk,
    "chunk": slicing.chunk,
    torch.split: slicing.split,
    "split": slicing.split,
    **dict.fromkeys((torch.tensor_split, "tensor_split"), slicing.tensor_split),
    # larger and smaller maps
    F.interpolate: resizing.interpolate,
    F.upsample: resizing.upsample,
    nn.Upsample: resizing.upsample_module,
    **dict.fromkeys((F.pixel_shuffle, torch.pixel_shuffle), chaining.pixel_shuffle),
    **dict.fromkeys((F.pixel_unshuffle, torch.pixel_unshuffle), chaining.pixel_unshuffle),
    **dict.fromkeys((F.channel_shuffle, torch.channel_shuffle), chaining.channel_shuffle),
    nn.PixelShuffle: chaining.of_module(chaining.pixel_shuffle, "upscale_factor"),
    nn.PixelUnshuffle: chaining.of_module(chaining.pixel_unshuffle, "downscale_factor"),
    nn.ChannelShuffle: chaining.of_module(chaining.channel_shuffle, "groups"),
    # precision and device
    **{name: casting.cast(name) for name in ("to", "type", "type_as")},
    **{name: casting.cast(name) for name in ("float", "double", "half", "bfloat16", "cpu")},
    # padding
    F.pad: padding.of_call,
    nn.ZeroPad1d: padding.of_module("constant"),
    nn.ZeroPad2d: padding.of_module("constant"),
    nn.ZeroPad3d: padding.of_module("constant"),
    nn.ConstantPad1d: padding.of_module("constant"),
    nn.ConstantPad2d: padding.of_module("constant"),
    nn.ConstantPad3d: padding.of_module("constant"),
    nn.ReflectionPad1d: padding.of_module("reflect"),
    nn.ReflectionPad2d: padding.of_module("reflect"),
    nn.ReflectionPad3d: padding.of_module("reflect"),
    nn.ReplicationPad1d: padding.of_module("replicate"),
    nn.ReplicationPad2d: padding.of_module("replicate"),
    nn.ReplicationPad3d: padding.of_module("replicate"),
    nn.CircularPad1d: padding.of_module("circular"),
    nn.CircularPad2d: padding.of_module("circular"),
    nn.CircularPad3d: padding.of_module("circular"),
    # place by place, or along one axis
    **{getattr(torch, name): elementwise(getattr(torch, name)) for name in PLACEWISE},
    **{name: elementwise(getattr(torch, name)) for name in PLACEWISE},
    operator.pow: elementwise(torch.pow),
    F.softmax: softmax(F.softmax),
    torch.softmax: softmax(torch.softmax),
    "softmax": softmax(torch.softmax),
    F.log_softmax: softmax(F.log_softmax),
    nn.Softmax: softmax_module,
    F.normalize: reducing.normalize,
    **{name: reducing.reduction(getattr(torch, name)) for name in STATISTICS},
    **{getattr(torch, name): reducing.reduction(getattr(torch, name)) for name in STATISTICS},
    **dict.fromkeys((torch.norm, "norm"), reducing.reduction(torch.norm, 1)),
    torch.linalg.vector_norm: reducing.reduction(torch.linalg.vector_norm, 1),
    **picking.CALLS,  # max, min, median, topk, sort
    **ATEN,  # the same, as torch.export calls it
}
if hasattr(nn, "RMSNorm"):  # torch 2.4
    TABLE[nn.RMSNorm] = normalization.root_mean_square_module
    TABLE[F.rms_norm] = normalization.root_mean_square_call
