"""What a study is given: a net or a model, and images in any form."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import nn

from deconvnet.data.given_images import GivenImages, given_images
from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet


def net_of(net: DeconvNet | nn.Module, rectifier: str | Rectifier | None = None) -> DeconvNet:
    """The DeconvNet of a call, under this rule.

    Args:
        net: a DeconvNet, whose rule is the default, or a model, whose default is "deconvnet".
        rectifier: as for ``DeconvNet``.
    """
    if not isinstance(net, DeconvNet):
        return DeconvNet(net, rectifier or "deconvnet")
    return net if rectifier is None else net.with_rectifier(rectifier)


def images_of(
    images: Any, net: DeconvNet, *, preprocessing: Any = None, names: Sequence[str] = ()
) -> GivenImages:
    """The images of a call, with names and pictures; see ``given_images``."""
    return given_images(images, axes=net.axes, preprocessing=preprocessing, model=net, names=names)
