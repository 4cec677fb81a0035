"""The table of activation functions: module, function or method → rectification."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from . import rectification

activation, ReLU_CEILING = rectification.of_call, rectification.INFINITY

ACTIVATIONS: dict[Any, Any] = {
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
    nn.GLU: rectification.glu_module,
    F.glu: rectification.glu,
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
}
