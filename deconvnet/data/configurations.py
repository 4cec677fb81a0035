"""Preprocessing as torchvision's weights and timm's configurations state it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .preprocessing import INTERPOLATIONS, Preprocessing
from .transform import Denormalized, Transform

_TIMM = ("input_size", "mean", "std", "interpolation", "crop_pct", "crop_mode")


def is_preset(given: Any) -> bool:
    """Whether this is one of torchvision's weights, or the transforms that they give."""
    transforms = callable(getattr(given, "transforms", None)) and hasattr(given, "meta")
    return transforms or type(given).__module__ == "torchvision.transforms._presets"


def of_torchvision(weights: Any) -> Preprocessing | Transform:
    """The preprocessing of torchvision's weights of any network, or of their transforms.

    Those of networks that do not classify images (segmentation, detection, videos) are called as
    they are.
    """
    try:
        return Preprocessing.from_weights(weights)
    except ValueError:
        own = weights.transforms() if hasattr(weights, "meta") else weights
        if not hasattr(own, "mean"):
            return Transform(own)
        return Transform(own, Denormalized(tuple(own.mean), tuple(own.std)))


def is_timm_config(given: Any) -> bool:
    """Whether this is a configuration of timm: a dict, or its ``PretrainedCfg``."""
    return all(_of(given, name) is not None for name in ("input_size", "mean", "std"))


def of_timm(config: Any) -> Preprocessing | Transform:
    """The preprocessing of timm's ``model.pretrained_cfg`` or ``resolve_data_config``.

    Of images that are squashed or padded, not cropped, timm's own transform is taken.

    Raises:
        ImportError: it is such a one, and timm is not installed.
    """
    told = {name: value for name in _TIMM if (value := _of(config, name)) is not None}
    _, height, width = told["input_size"]
    mean, std = tuple(told["mean"]), tuple(told["std"])
    known = told.get("interpolation", "bilinear") in INTERPOLATIONS
    if known and height == width and told.get("crop_mode", "center") == "center":
        resize = math.floor(height / (told.get("crop_pct") or 0.875))
        return Preprocessing(
            (height, width), resize, mean, std, told.get("interpolation", "bilinear")
        )
    from timm.data.transforms_factory import create_transform

    return Transform(create_transform(**told), Denormalized(mean, std))


def _of(config: Any, name: str) -> Any:
    return config.get(name) if isinstance(config, Mapping) else getattr(config, name, None)
