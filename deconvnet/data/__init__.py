"""Read image files and data sets, preprocess them, and turn tensors back into pictures."""

from .image_files import ImageError, read_image, to_rgb
from .image_folder import ImageFolder
from .preprocessing import IMAGENET_MEAN, IMAGENET_STD, Preprocessing
from .transform import Transform

__all__ = ["IMAGENET_MEAN", "IMAGENET_STD", "ImageError", "ImageFolder", "Preprocessing"]
__all__ += ["Transform", "read_image", "to_rgb"]
