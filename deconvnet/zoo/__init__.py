"""The embedded network and photographs: everything a first look needs, with no download.

Nothing here waits for torch before it is called.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from PIL import Image
    from torch import nn

    from deconvnet.data import Preprocessing

    from .tiles import Photographs

    PREPROCESSING: Preprocessing

__all__ = [
    "NAMES",
    "PREPROCESSING",
    "allcnn",
    "class_names",
    "photograph",
    "photographs",
    "zfnet",
    "zfnet_mini",
]

WEIGHTS = Path(__file__).with_name("zfnet_mini.safetensors")
SIDE = 96  # height and width of the network's input, pixels


def zfnet_mini(*, weights: bool = True) -> nn.Module:
    """The embedded network, in evaluation mode.

    ZFNet's shape at 96 pixels (see :class:`deconvnet.zoo.zfnet_mini_network.ZFNetMini`), trained by
    ``scripts/train_zoo.py`` to tell 367 photographed objects apart. It takes images
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
    from .zfnet_network import ZFNet

    return ZFNet().eval()


def allcnn() -> nn.Module:
    """The All-CNN-C of Springenberg et al. 2014, with random weights."""
    from .allcnn_network import AllCNN

    return AllCNN().eval()


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
    """The embedded dataset: tiles of scikit-image's photographs, preprocessed for the network.

    Args:
        names: Which photographs, keys of ``deconvnet.zoo.tiles.FILES``; by default those that
            show more than one texture.
        scales: Sides of the tiles in units of 96 pixels; by default from 0.7 to 4.2, seven to an
            octave, so that a thing is met at every size.

    Returns:
        A dataset of float tensors ``(3, 96, 96)``, in a fixed order.

    Raises:
        ValueError: If a photograph is unknown or no tile fits.
        FileNotFoundError: If the installed scikit-image came without its pictures.
    """
    from deconvnet.arguments import listed

    from .tiles import SCALES, SHOWN, Photographs

    chosen = SHOWN if names is None else listed(names, str)
    return Photographs(
        chosen, preprocessing(), scales=SCALES if scales is None else scales, side=SIDE
    )


def photograph(name: str) -> Image.Image:
    """One of scikit-image's photographs, whole, in colour mode RGB.

    Args:
        name: Such as ``"chelsea"``, a cat.

    Raises:
        ValueError: If there is no such photograph.
        FileNotFoundError: If the installed scikit-image came without its pictures.
    """
    from .tiles import photograph as whole

    return whole(name)


NAMES: dict[str, Callable[..., nn.Module]] = {
    "zfnet_mini": zfnet_mini,
    "zfnet": zfnet,
    "allcnn": allcnn,
}


SIDES = {"zfnet_mini": SIDE, "zfnet": 224, "allcnn": 32}


def preprocessing(name: str = "zfnet_mini") -> Preprocessing:
    """What a network of the zoo wants done to photographs: the shorter side fits its input."""
    from deconvnet.data import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

    side = SIDES[name]
    return Preprocessing(size=(side, side), resize=side, mean=IMAGENET_MEAN, std=IMAGENET_STD)


def __getattr__(name: str) -> object:
    if name == "PREPROCESSING":
        return preprocessing()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
