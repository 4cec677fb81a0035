"""Check the laws of a mirrored layer, or the graph of a model, with one call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from deconvnet.layers import MirroredLayer, Policies, rectifier
from deconvnet.layers.laws import (
    LawBroken,
    Trial,
    channel_law,
    cost_law,
    inside_law,
    mirror_law,
    take_law,
)
from deconvnet.layers.window_laws import value_law, window_law
from deconvnet.projection.check.report import ModelReport, check_model

__all__ = ["LawBroken", "ModelReport", "check_layer", "check_model"]


def check_layer(
    layer: MirroredLayer,
    *inputs: Any,
    policies: Policies | None = None,
    forward: Callable[..., Any] | None = None,
    exact_window: bool = False,
    tolerance: float = 1e-10,
    seed: int = 0,
) -> None:
    """Check that ``record``, ``mirror`` and ``window`` of a layer are consistent.

    - *forward law*: ``record`` gives what ``forward`` gives, if that is given.
    - *mirror law*: for a random signal, ``mirror`` gives what ``torch.autograd.grad`` gives.
    - *channel law*: a layer that says that it is ``channelwise`` sends a signal of one channel to
      that channel alone.
    - *cost law*: ``multiply_adds`` is an integer, or None for unknown.
    - *window law*: no range of output places depends on anything outside its window.
    - *value law*: windows, and whether the layer runs on windows, are the same for other values of
      the same sizes. Receptive fields are computed once for all images, from an image of zeros.
    - *take law*: where the record keeps samples apart, units of any samples travel together through
      ``record.take`` as each of them does alone through the whole record.
    - *inside law*: where the layer runs on windows, ``inside`` and ``within`` give there what the
      layer gives on whole maps, up and down, at the borders too.
    - *untouched law*: neither inputs nor signal are written into, and mirroring leaves the
      record as it was: the second time gives the same.

    Args:
        layer: the layer; its parameters in float64.
        inputs: float64 tensors (batch, ...) of two samples or more, so that rows can be told
            apart; containers of tensors for a layer that takes those.
        policies: for layers that a policy rules. By default the gradient; the mirror law holds
            only under policies that carry the signal by its derivative.
        forward: the same operation in plain torch; by default ``record`` is differentiated.
        exact_window: a window must also be no larger than the range of what is seen. Use it only
            where no derivative inside a window is zero, as with positive filters.
        tolerance: of every comparison, relative to the greatest value expected (at least 1).
        seed: of the random signals and ranges.

    Raises:
        LawBroken: a law does not hold. The message says which, where, the actual value and the
            expected one.
        TypeError: an input is not float64.
        ValueError: the output has no derivative to compare with.

    Examples:
        >>> from deconvnet.layers.linear import Linear
        >>> weight = torch.ones(4, 3, dtype=torch.float64)
        >>> check_layer(Linear(weight), torch.randn(2, 3, dtype=torch.float64), exact_window=True)
    """
    if not isinstance(layer, MirroredLayer):
        raise TypeError(
            f"the layer was {type(layer).__name__}; give a MirroredLayer (of what a reader "
            "returns, the first: reader(module, x)[0])"
        )
    for value in pytree.tree_leaves(inputs):
        if not isinstance(value, Tensor) or value.dtype != torch.float64:
            given = value.dtype if isinstance(value, Tensor) else type(value).__name__
            raise TypeError(f"an input was {given}; laws hold to float64: give tensors .double()")
    layer = layer.under(policies or Policies(rectifier("gradient")))
    trial = Trial(layer, inputs, forward=forward, tolerance=tolerance, seed=seed)
    mirror_law(trial)
    channel_law(trial)
    cost_law(trial)
    window_law(trial, np.random.default_rng(seed), exact=exact_window)
    value_law(trial, inputs, np.random.default_rng(seed))
    if trial.record.apart:
        take_law(trial)
        inside_law(trial, np.random.default_rng(seed))
