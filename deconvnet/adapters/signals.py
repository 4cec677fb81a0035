"""What all adapters rest on: any signal at a layer, carried down by the mirror."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from deconvnet.graph.modes import plain
from deconvnet.net import DeconvNet
from deconvnet.projection.backward import backward


@plain()
def signal_of(
    net: DeconvNet,
    images: Tensor,
    seed: Callable[[Tensor], Tensor],
    *,
    layer: str | nn.Module | None = None,
    at: str | nn.Module | None = None,
) -> tuple[Tensor, Tensor]:
    """A layer's values, and the signal that starts there with any values, carried down.

    ``DeconvNet.project`` starts at single units; other toolkits start with what they call the
    gradient of the output, which may be any tensor.

    Args:
        net: the model and its rule.
        images: (batch, channels, *size), floats.
        seed: makes of the layer's values (batch, channels, ...) the signal, of the same shape,
            that starts there; it is called with autograd enabled.
        layer: where it starts; by default what the model returns, the first of several.
        at: where the signal is taken; by default at the images.

    Returns:
        The values and the signal, shaped like the layer and like the images (or the values
        ``at``).

    Raises:
        ValueError: no signal arrives, or the seed is of another shape.
    """
    recording = net.record(images.detach(), layer)
    top, values = next(iter(recording.activations.items()))
    bottom = recording.input if at is None else net.graph.find(at)
    with torch.enable_grad():
        start = seed(values.detach().clone()).detach()
    if start.shape != values.shape:
        raise ValueError(
            f"the signal that starts at {top} was of shape {tuple(start.shape)}; expected that of "
            f"its values, {tuple(values.shape)}"
        )
    signals = backward(recording.steps, {top: start.to(values)}, at=(bottom,))
    if bottom not in signals:
        raise ValueError(
            f"no signal reaches {'the images' if at is None else bottom} from {top}: it does not "
            "lie below, or no derivative is taken in between"
        )
    signal: Tensor = signals[bottom]
    return values, signal.to(images) if at is None else signal
