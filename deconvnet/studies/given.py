"""What a study is given: a net or a model, and images in any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from math import prod
from typing import Any

from torch import Tensor, nn

from deconvnet.arguments import counted
from deconvnet.data.given_images import GivenImages, given_images
from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet
from deconvnet.projection.unruled import activations


def net_of(
    net: DeconvNet | nn.Module,
    rectifier: str | Rectifier | None = None,
    *,
    fallback: str | None = None,
) -> DeconvNet:
    """The DeconvNet of a call, under this rule.

    Args:
        net: a DeconvNet, whose rule is the default, or a model, whose default is "deconvnet".
        rectifier: as for ``DeconvNet``.
        fallback: as for ``DeconvNet``; by default that of the net.
    """
    if not isinstance(net, DeconvNet):
        return DeconvNet(net, rectifier or "deconvnet", fallback=fallback)
    if rectifier is not None:
        net = net.with_rectifier(rectifier)
    if fallback not in (None, net.policies.fallback):
        net = net.with_rectifier(net.policies.rectifier)  # a copy
        net.policies = replace(net.policies, fallback=fallback)
    return net


def net_of_pictures(
    net: DeconvNet | nn.Module, rectifier: str | Rectifier | None = None
) -> DeconvNet:
    """``net_of``, for a study whose images are pictures.

    Raises:
        ValueError: the net takes signals or videos.
    """
    mirrored = net_of(net, rectifier)
    if mirrored.axes != 2:
        raise ValueError(
            f"{type(mirrored.model).__name__} takes images of "
            f"{counted(mirrored.axes, 'axis', 'axes')}; this study is of pictures, which have two"
        )
    return mirrored


def usual_layer(net: DeconvNet, size: Sequence[int]) -> str:
    """The layer of a call that names none: the last activation whose maps have positions.

    Where there is no such activation it is the last layer whose maps have positions.

    Args:
        net: of the model.
        size: (channels, *size) of its images.

    Raises:
        ValueError: no layer has positions.
    """
    layers = {name: one for name, one in net.layers_at(size).items() if prod(one.size) > 1}
    if not layers:
        raise ValueError("no layer of this model has maps with positions; name one: layer=")
    rectified = [name for name in activations(net.geometry(size)) if name in layers]
    return (rectified or list(layers))[-1]


def layer_of(layer: str | nn.Module | None, net: DeconvNet, images: Tensor) -> str:
    """The name of the layer of a call; see ``usual_layer``."""
    if layer is None:
        return usual_layer(net, images.shape[1:])
    return layer if isinstance(layer, str) else next(iter(net.record(images, layer).activations))


def images_of(
    images: Any, net: DeconvNet, *, preprocessing: Any = None, names: Sequence[str] = ()
) -> GivenImages:
    """The images of a call, with names and pictures; see ``given_images``."""
    given = given_images(images, axes=net.axes, preprocessing=preprocessing, model=net, names=names)
    if not len(given):
        raise ValueError(f"a tensor of no images, {tuple(given.tensor.shape)}, was given")
    return given


def net_and_images(
    net: DeconvNet | nn.Module,
    images: Any,
    rectifier: str | Rectifier | None = None,
    *,
    preprocessing: Any = None,
    names: Sequence[str] = (),
) -> tuple[DeconvNet, GivenImages]:
    """Both of a call, see ``net_of`` and ``images_of``."""
    mirrored = net_of(net, rectifier)
    return mirrored, images_of(images, mirrored, preprocessing=preprocessing, names=names)
