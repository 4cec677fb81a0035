"""Image files ↔ tensors ↔ pictures: what a network is given, and how to show it again."""

from .image_files import ImageError, read_image, to_rgb
from .image_folder import ImageFolder
from .preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageError", "ImageFolder", "Preprocessing"]
__all__ += ["read_image", "to_rgb"]
