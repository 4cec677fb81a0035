"""Mirrored layers: each operation's forward pass and the way back, side by side.

``TABLE`` says which mirrored layer stands for a module, a function or a tensor method. Each value
reads one call: ``read(module, *args)`` or ``read(*args)`` returns the layer and the tensors that
enter it, or None where this particular call is beyond it. What is not in the table, and what a
reader gives back as None, is mirrored by its own vector-Jacobian product (``local.Local``).
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import FrozenBatchNorm2d, StochasticDepth, stochastic_depth

from . import averaging, joining, normalization, padding, rectification, reshaping, slicing
from .base import InputSize, LinearMap, MirroredLayer, Nothing, Record
from .convolution import Convolution, TransposedConvolution, spatial
from .linear import Linear
from .local import Local, PerSample, elementwise, softmax
from .policies import (
    Activation,
    Policies,
    Rectifier,
    UnmirroredError,
    rectifier,
)
from .pooling import AdaptiveMaxPooling, MaxPooling
from .rectification import Rectification
from .unpooling import Switches, unpool
from .window import Interval, Window

__all__ = [
    "TABLE",
    "Activation",
    "InputSize",
    "Interval",
    "LinearMap",
    "Local",
    "MirroredLayer",
    "Nothing",
    "PerSample",
    "Policies",
    "Record",
    "Rectification",
    "Rectifier",
    "Switches",
    "UnmirroredError",
    "Window",
    "rectifier",
    "reader_for",
    "unpool",
]

Reader = Callable[..., Any]
activation, ReLU_CEILING = rectification.of_call, rectification.INFINITY

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
    # rectifiers
    nn.ReLU: rectification.of_module,
    nn.ReLU6: rectification.of_module,
    nn.Hardtanh: rectification.of_module,
    nn.Threshold: rectification.of_module,
    F.relu: activation("ReLU", F.relu, ReLU_CEILING),
    F.relu_: activation("ReLU", F.relu, ReLU_CEILING),
    torch.relu: activation("ReLU", F.relu, ReLU_CEILING),
    torch.relu_: activation("ReLU", F.relu, ReLU_CEILING),
    **dict.fromkeys(("relu", "relu_"), activation("ReLU", F.relu, ReLU_CEILING)),
    F.relu6: activation("ReLU6", F.relu6, 6.0),
    F.hardtanh: rectification.hardtanh,
    F.hardtanh_: rectification.hardtanh,
    F.threshold: rectification.threshold,
    **dict.fromkeys((torch.threshold, torch.threshold_), rectification.threshold),
    **dict.fromkeys((torch.clamp, torch.clamp_, torch.clip, torch.clip_), rectification.clamp),
    **dict.fromkeys(("clamp", "clamp_", "clip", "clip_"), rectification.clamp),
    **dict.fromkeys((torch.clamp_min, torch.clamp_min_), rectification.clamp),
    **dict.fromkeys(("clamp_min", "clamp_min_"), rectification.clamp),
    **dict.fromkeys((torch.clamp_max, torch.clamp_max_), rectification.clamp_max),
    **dict.fromkeys(("clamp_max", "clamp_max_"), rectification.clamp_max),
    # other activations
    nn.LeakyReLU: rectification.of_module,
    nn.PReLU: rectification.of_module,
    nn.RReLU: rectification.of_module,
    nn.ELU: rectification.of_module,
    nn.SELU: rectification.of_module,
    nn.CELU: rectification.of_module,
    nn.SiLU: rectification.of_module,
    nn.GELU: rectification.of_module,
    nn.Mish: rectification.of_module,
    nn.Hardswish: rectification.of_module,
    nn.Hardsigmoid: rectification.of_module,
    nn.Softplus: rectification.of_module,
    nn.Softsign: rectification.of_module,
    nn.Sigmoid: rectification.of_module,
    nn.LogSigmoid: rectification.of_module,
    nn.Tanh: rectification.of_module,
    nn.Tanhshrink: rectification.of_module,
    nn.Hardshrink: rectification.of_module,
    nn.Softshrink: rectification.of_module,
    **dict.fromkeys((F.leaky_relu, F.leaky_relu_), activation("LeakyReLU", F.leaky_relu)),
    **dict.fromkeys((F.prelu, torch.prelu, "prelu"), activation("PReLU", torch.prelu)),
    **dict.fromkeys((F.rrelu, F.rrelu_, torch.rrelu, torch.rrelu_), activation("RReLU", F.rrelu)),
    **dict.fromkeys((F.elu, F.elu_), activation("ELU", F.elu)),
    **dict.fromkeys((F.selu, F.selu_, torch.selu, torch.selu_), activation("SELU", F.selu)),
    **dict.fromkeys((F.celu, F.celu_, torch.celu, torch.celu_), activation("CELU", F.celu)),
    F.silu: activation("SiLU", F.silu),
    F.gelu: activation("GELU", F.gelu),
    F.mish: activation("Mish", F.mish),
    F.hardswish: activation("Hardswish", F.hardswish),
    F.hardsigmoid: activation("Hardsigmoid", F.hardsigmoid),
    F.softplus: activation("Softplus", F.softplus),
    F.softsign: activation("Softsign", F.softsign),
    F.logsigmoid: activation("LogSigmoid", F.logsigmoid),
    F.tanhshrink: activation("Tanhshrink", F.tanhshrink),
    F.softshrink: activation("Softshrink", F.softshrink),
    **dict.fromkeys(
        (F.hardshrink, torch.hardshrink, "hardshrink"), activation("Hardshrink", F.hardshrink)
    ),
    **dict.fromkeys(
        (torch.sigmoid, torch.sigmoid_, F.sigmoid, "sigmoid", "sigmoid_"),
        activation("Sigmoid", torch.sigmoid),
    ),
    **dict.fromkeys(
        (torch.tanh, torch.tanh_, F.tanh, "tanh", "tanh_"), activation("Tanh", torch.tanh)
    ),
    # where paths meet
    operator.add: joining.add,
    operator.iadd: joining.add,
    torch.add: joining.add,
    "add": joining.add,
    operator.sub: joining.subtract,
    operator.isub: joining.subtract,
    torch.sub: joining.subtract,
    "sub": joining.subtract,
    torch.rsub: joining.reversed_subtract,
    operator.mul: joining.multiply,
    operator.imul: joining.multiply,
    torch.mul: joining.multiply,
    "mul": joining.multiply,
    operator.truediv: joining.divide,
    operator.itruediv: joining.divide,
    torch.div: joining.divide,
    "div": joining.divide,
    operator.neg: joining.negate,
    torch.neg: joining.negate,
    torch.cat: joining.concatenate,
    torch.concat: joining.concatenate,
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
    operator.getitem: slicing.getitem,
    torch.chunk: slicing.chunk,
    "chunk": slicing.chunk,
    torch.split: slicing.split,
    "split": slicing.split,
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
    torch.exp: elementwise(torch.exp),
    torch.log: elementwise(torch.log),
    torch.sqrt: elementwise(torch.sqrt),
    torch.rsqrt: elementwise(torch.rsqrt),
    torch.abs: elementwise(torch.abs),
    torch.pow: elementwise(torch.pow),
    operator.pow: elementwise(torch.pow),
    "pow": elementwise(torch.pow),
    "exp": elementwise(torch.exp),
    "log": elementwise(torch.log),
    "sqrt": elementwise(torch.sqrt),
    "abs": elementwise(torch.abs),
    F.softmax: softmax(F.softmax),
    torch.softmax: softmax(torch.softmax),
    "softmax": softmax(torch.softmax),
    F.log_softmax: softmax(F.log_softmax),
}


def reader_for(module: nn.Module) -> Reader | None:
    """The reader for calls of a module, also of a subclass that does not run otherwise."""
    for base in type(module).__mro__:
        if base in TABLE and type(module).forward is getattr(base, "forward", None):
            return TABLE[base]
    return None
