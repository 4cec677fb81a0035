"""Steps that write over what nobody reads again, so that maps pass through memory once less.

They give the values and signals of ``record`` and ``mirror`` of the layers, bit for bit. Only these
very classes are known here: a subclass, or a rule of the user's, may hold what it is given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from .base import MirroredLayer, Nothing, Record
from .convolution import Convolution
from .crop import layout
from .joining import Broadcast, Combination, Concatenation
from .normalization import BatchNormalization
from .policies import RECTIFIERS, DeconvNetRule, Gradient, Guided, Rectifier
from .pooling import MaxPooling
from .rectification import INFINITY, Active, Kept, Rectification
from .reshaping import Passing

RULES = (DeconvNetRule, Guided, Gradient)  # that send a new tensor
MASKS = (Guided, Gradient)  # that need of a ReLU but where it is active


def is_new(layer: MirroredLayer) -> bool:
    """Whether what ``record`` gives is a new tensor, and none that the record holds.

    ``Active`` is the exception: ``recorded`` returns the output that it holds.
    """
    if type(layer) is Rectification:
        rule = _rule_of_output(layer)
        return rule is not None and "activation" not in (rule.keeps or ())
    if type(layer) is Combination:
        return len(layer.factors) > 1
    return type(layer) in (Convolution, BatchNormalization, MaxPooling, Concatenation)


def sends_new(layer: MirroredLayer, own: bool) -> bool:
    """Whether the signals that ``mirrored`` gives are held by nothing else.

    ``own``: so is the one that it was given.
    """
    if type(layer) is Rectification:
        return type(layer.rectifier) in RULES
    new = (Convolution, BatchNormalization, MaxPooling)
    return type(layer) in new or (own and type(layer) is Passing)


def recorded(layer: MirroredLayer, inputs: Sequence[Any]) -> tuple[Any, Record]:
    """What ``record`` gives, written over the first input if that can be."""
    if type(layer) is Rectification:
        rule, function = _rule_of_output(layer), layer.activation.in_place
        if rule is not None and function is not None:
            output = function(inputs[0])
            relu = layer.activation.ceiling == INFINITY and output.device.type == "cpu"
            if type(rule) in MASKS and relu and not layer.packed:  # else others may write into it
                return output, Active(output)
            return output, Kept(rule.remember(output, output, layer.activation))
    if type(layer) is Combination and layer.factors == (1, 1) and layer.constant == 0:
        one, other = inputs
        if one.shape == other.shape and one.dtype == other.dtype:
            return one.add_(other), Broadcast((one.shape, other.shape), one.shape)
    if type(layer) is BatchNormalization and inputs[0].device.type == "cpu":
        return _normalized(layer, inputs[0]), Nothing()
    return layer.record(*inputs)


def mirrored(layer: MirroredLayer, signal: Tensor, record: Any) -> tuple[Any, ...]:
    """What ``mirror`` gives, written over the signal if that can be."""
    if type(layer) is BatchNormalization:
        return (signal.mul_(layer.scale_of(signal)),)
    rule = type(layer.rectifier) if type(layer) is Rectification else None
    if rule not in RULES:
        return layer.mirror(signal, record)
    if rule is not Gradient:
        signal = signal.clamp_(min=0)
    if rule is DeconvNetRule:
        return (signal,)
    if isinstance(record, Active) and record.output.dtype == signal.dtype:
        passed = torch.ops.aten.threshold_backward.grad_input
        return (passed(signal, record.output, 0, grad_input=signal),)
    return (signal.mul_(record.kept),)


def _normalized(layer: BatchNormalization, input: Tensor) -> Tensor:
    numbers = (input, layer.weight, layer.bias, layer.mean, layer.variance)
    dense = input.is_contiguous() or input.is_contiguous(memory_format=layout(input))
    if not dense or len({x.dtype for x in numbers if x is not None}) > 1:
        return layer.record(input)[0]
    mean, deviation = input.new_empty(0), input.new_empty(0)  # of training, which are not made
    torch.ops.aten.native_batch_norm.out(
        *numbers, False, 0.0, layer.eps, out=input, save_mean=mean, save_invstd=deviation
    )
    return input


def _rule_of_output(layer: Rectification) -> Rectifier | None:
    """Its rule, if that looks at nothing but the output of the activation."""
    rule = layer.rectifier
    if rule is None or type(rule) not in RECTIFIERS.values():
        return None
    return rule if rule.keeps == () or layer.activation.rectifies else None
