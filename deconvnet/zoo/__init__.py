"""The embedded network and images, with no download; torch is imported when they are called."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from deconvnet.data import Preprocessing

    from .tiles import Photographs
    from .tiles import photograph as photograph

    PREPROCESSING: Preprocessing

__all__ = ["NAMES", "PREPROCESSING", "allcnn", "class_names", "photograph", "photographs"]
__all__ += ["zfnet", "zfnet_mini"]

WEIGHTS = Path(__file__).with_name("zfnet_mini.safetensors")
SIDES = {"zfnet_mini": 96, "zfnet": 224, "allcnn": 32}
"""Height and width of each network's input, in pixels."""


def zfnet_mini(*, weights: bool = True) -> nn.Module:
    """The embedded network, in evaluation mode.

    ZFNet's shape at 96 pixels (see :class:`deconvnet.zoo.zfnet_mini_network.ZFNetMini`), trained by
    ``scripts/zoo/train.py`` to tell 367 photographed objects apart. It takes images
    ``(N, 3, 96, 96)`` made by :data:`PREPROCESSING` and returns scores ``(N, 367)``; what an output
    stands for is told by :func:`class_names`.

    Args:
        weights: Load the trained weights; without, the network is as PyTorch initialises it.

    Raises:
        FileNotFoundError: If the weights are not beside the code.
    """
    from .embedded_weights import load_weights
    from .zfnet_mini_network import ZFNetMini

    model = ZFNetMini()
    if weights:
        model.load_state_dict(load_weights(WEIGHTS))
    return model.eval()


def zfnet() -> nn.Module:
    """The network of Zeiler & Fergus 2014, layer by layer, with random weights."""
    from .paper_networks import ZFNet

    return ZFNet().eval()


def allcnn() -> nn.Module:
    """The All-CNN-C of Springenberg et al. 2014, with random weights."""
    from .paper_networks import AllCNN

    return AllCNN().eval()


NAMES: dict[str, Callable[..., nn.Module]] = {f.__name__: f for f in (zfnet_mini, zfnet, allcnn)}


def class_names() -> list[str]:
    """What the embedded network's outputs stand for, in order, such as ``"food-fruit/lemon"``.

    Raises:
        FileNotFoundError: If the weights, which hold the names, are not beside the code.
    """
    from .embedded_weights import load_classes

    return load_classes(WEIGHTS)


def photographs(
    names: str | Sequence[str] | None = None, *, scales: Sequence[float] | None = None
) -> Photographs:
    """The embedded data set: tiles of scikit-image's photographs, preprocessed for the network.

    Args:
        names: Which photographs, keys of ``deconvnet.zoo.tiles.FILES``; by default those that
            show more than one texture.
        scales: Sides of the tiles in units of 96 pixels; by default from 0.7 to 4.2, seven to an
            octave, so that a thing is met at every size.

    Returns:
        A data set of float tensors ``(3, 96, 96)``, in a fixed order.

    Raises:
        ValueError: If a photograph is unknown or no tile fits.
        FileNotFoundError: If the installed scikit-image came without its pictures.
    """
    from deconvnet.arguments import listed

    from .tiles import SCALES, SHOWN, Photographs

    chosen = SHOWN if names is None else listed(names, str)
    return Photographs(chosen, preprocessing(), scales=SCALES if scales is None else scales)


def preprocessing(name: str = "zfnet_mini") -> Preprocessing:
    """The preprocessing of a network of the zoo: the shorter side fits its input."""
    from deconvnet.data import Preprocessing

    return Preprocessing((SIDES[name], SIDES[name]), SIDES[name])


def __getattr__(name: str) -> object:
    if name == "PREPROCESSING":
        return preprocessing()
    if name == "photograph":
        from .tiles import photograph

        return photograph
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
