"""captum: maps as its attribution classes (Kokhlikyan 2020)."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from captum.attr import GradientAttribution, LayerAttribution, NeuronAttribution, Saliency
from captum.log import log_usage
from torch import Tensor, nn

from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet
from deconvnet.studies.given import net_of

from .signals import signal_of

Images = Tensor | tuple[Tensor]
Target = int | tuple[int, ...] | Tensor | list[int] | list[tuple[int, ...]] | None
Selector = int | tuple[int | slice, ...] | Callable[[Tensor], Tensor]


class CaptumAttribution(GradientAttribution):
    """Maps of what a model returns, as captum's ``Deconvolution`` and ``GuidedBackprop``.

    captum's own act on modules ``nn.ReLU`` alone, and lose the signal of a skip connection that
    leaves before one; these act on every activation of the graph.

    Args:
        model: or a DeconvNet, whose rule is then the default.
        rectifier: as for ``DeconvNet``; "deconvnet" by default.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> CaptumAttribution(model, "guided").attribute(torch.rand(2, 1, 8, 8), target=3).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self, model: nn.Module | DeconvNet, rectifier: str | Rectifier | None = None
    ) -> None:
        self.net = net_of(model, rectifier)
        super().__init__(self.net.model)

    @log_usage(part_of_slo=True)  # which NoiseTunnel takes off again
    def attribute(
        self, inputs: Images, target: Target = None, additional_forward_args: Any = None
    ) -> Images:
        """The maps of a class score.

        Args:
            inputs: (batch, channels, *size), or a tuple of this one tensor.
            target: what of the output is mapped, as for captum's classes: a class, one for each
                image, or indices of outputs with more axes.
            additional_forward_args: of ``forward``, behind the images.

        Returns:
            Shaped like the inputs, signed; a tuple if they were one.
        """
        images = _images(inputs)
        net = _with_arguments(self.net, additional_forward_args)
        _, maps = signal_of(net, images, lambda scores: _start(scores, target))
        return (maps,) if isinstance(inputs, tuple) else maps


class CaptumLayerAttribution(LayerAttribution, GradientAttribution):
    """The signal of a class score at a layer; under "gradient" its derivative by the layer.

    Args:
        model: or a DeconvNet, whose rule is then the default.
        layer: module, or node name as in ``DeconvNet.layers``.
        rectifier: as for ``DeconvNet``; "deconvnet" by default.
    """

    def __init__(
        self,
        model: nn.Module | DeconvNet,
        layer: str | nn.Module,
        *,
        rectifier: str | Rectifier | None = None,
    ) -> None:
        self.net = net_of(model, rectifier)
        super().__init__(self.net.model, layer)
        GradientAttribution.__init__(self, self.net.model)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Images,
        target: Target = None,
        additional_forward_args: Any = None,
        attribute_to_layer_input: bool = False,
    ) -> Tensor:
        """The signal at the layer's output, or at its input, shaped like this value.

        Args: as for ``CaptumAttribution``.

        Raises:
            ValueError: the input of a layer that has several, or is not one operation.
        """
        images, net = _images(inputs), _with_arguments(self.net, additional_forward_args)
        at = _source(net, images, self.layer) if attribute_to_layer_input else self.layer
        _, maps = signal_of(net, images, lambda scores: _start(scores, target), at=at)
        return maps


class CaptumNeuronAttribution(NeuronAttribution, GradientAttribution):
    """Maps of units of a layer, as ``NeuronDeconvolution`` and ``NeuronGuidedBackprop``.

    Args:
        model: or a DeconvNet, whose rule is then the default.
        layer: module, or node name as in ``DeconvNet.layers``.
        rectifier: as for ``DeconvNet``; "deconvnet" by default.

    Examples:
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.MaxPool2d(2))
        >>> maps = CaptumNeuronAttribution(model, model[1], rectifier="guided")
        >>> maps.attribute(torch.rand(2, 1, 8, 8), neuron_selector=(3, 2, 2)).shape
        torch.Size([2, 1, 8, 8])
    """

    def __init__(
        self,
        model: nn.Module | DeconvNet,
        layer: str | nn.Module,
        *,
        rectifier: str | Rectifier | None = None,
    ) -> None:
        self.net = net_of(model, rectifier)
        super().__init__(self.net.model, layer)
        GradientAttribution.__init__(self, self.net.model)

    @log_usage(part_of_slo=True)
    def attribute(
        self,
        inputs: Images,
        neuron_selector: Selector,
        additional_forward_args: Any = None,
        attribute_to_neuron_input: bool = False,
    ) -> Images:
        """The maps of the selected units.

        Args:
            inputs: (batch, channels, *size), or a tuple of this one tensor.
            neuron_selector: the index of a unit, such as (channel, row, column); with slices, the
                sum of several; or a function of the layer's values (batch, channels, ...) that
                returns (batch,).
            additional_forward_args: of ``forward``, behind the images.
            attribute_to_neuron_input: select in what the layer reads, not in what it gives.

        Returns:
            Shaped like the inputs, signed; a tuple if they were one.

        Raises:
            ValueError: the selector has not one index for each axis of the layer.
        """
        images, net = _images(inputs), _with_arguments(self.net, additional_forward_args)
        layer = _source(net, images, self.layer) if attribute_to_neuron_input else self.layer
        _, maps = signal_of(
            net, images, lambda values: _selected(values, neuron_selector), layer=layer
        )
        return (maps,) if isinstance(inputs, tuple) else maps


def _images(inputs: Images) -> Tensor:
    given = inputs if isinstance(inputs, tuple) else (inputs,)
    if len(given) != 1 or not isinstance(given[0], Tensor):
        raise ValueError(
            f"{len(given)} inputs were given; expected one tensor (batch, channels, *size), of "
            "which the map is: what else forward takes goes into additional_forward_args"
        )
    return given[0]


def _with_arguments(net: DeconvNet, values: Any) -> DeconvNet:
    """The net with fixed values of what ``forward`` takes behind the images."""
    if values is None:
        return net
    given = values if isinstance(values, tuple) else (values,)
    _, *names = inspect.signature(net.model.forward).parameters
    if len(given) > len(names):
        raise ValueError(
            f"{len(given)} additional_forward_args were given; forward of "
            f"{type(net.model).__name__} takes {len(names)} behind the images"
        )
    inputs = dict(zip(names, given, strict=False))
    return DeconvNet(net.model, net.policies, inputs=inputs)


def _start(scores: Tensor, target: Target) -> Tensor:
    """1 at the target in each image's scores, else 0, by captum's own reading of targets."""
    one: Tensor = Saliency(lambda values: values).attribute(
        scores.requires_grad_(), target=target, abs=False
    )
    return one


def _selected(values: Tensor, selector: Selector) -> Tensor:
    """1 at the selected units of each image, else 0; the derivative of what a function selects."""
    values.requires_grad_()
    if callable(selector):
        chosen = selector(values)
    else:
        index = selector if isinstance(selector, tuple) else (selector,)
        if len(index) != values.ndim - 1:
            raise ValueError(
                f"the selector was {selector!r}; the layer's values are {tuple(values.shape)}: "
                f"give {values.ndim - 1} indices or slices, or a function of the values"
            )
        chosen = values[(slice(None), *index)]
    (start,) = torch.autograd.grad(chosen.sum(), values)
    return start


def _source(net: DeconvNet, images: Tensor, layer: str | nn.Module) -> str:
    """The node whose value a layer reads.

    Raises:
        ValueError: there are several, or the layer is a container of others.
    """
    net.geometry(images.shape[1:])
    node = net.graph.nodes[net.graph.find(layer)]
    alone = isinstance(layer, str) or node.module is layer
    if not alone or len(set(node.sources)) != 1:
        raise ValueError(
            f"{node.name} reads {', '.join(node.sources) or 'nothing'}; name the layer whose "
            "values are meant, without asking for an input"
        )
    return node.sources[0]
