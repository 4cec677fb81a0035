"""``deconvnet correspondence``: whether hiding a part changes the features of images alike."""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.studies.correspondence import correspondence

from . import finished, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Hide, compare, draw and save."""
    loaded, net = load_net(options, "gradient")
    size = loaded.shape[1:]
    result = correspondence(
        net,
        options.images,
        {name: _masks(boxes, len(options.images), size) for name, boxes in options.part},
        layers=options.layers,
        value=options.value,
        random_state=options.random_state,
        preprocessing=loaded.preprocessing,
    )
    return finished(result, options, loaded)


def _masks(boxes: list[tuple[int, ...]], images: int, size: tuple[int, ...]) -> NDArray[np.bool_]:
    """True inside the box of each image."""
    if len(boxes) != images:
        raise ValueError(
            f"--part: boxes: {len(boxes)}, images: {images}; give one box for each image"
        )
    masks = np.zeros((images, *size), dtype=bool)
    for mask, box in zip(masks, boxes, strict=True):
        inside = len(box) == 4 and 0 <= box[0] < box[2] <= size[0] and 0 <= box[1] < box[3]
        if not inside or box[3] > size[1]:
            raise ValueError(
                f"--part has the box {box}, expected top,left,bottom,right inside {size[0]} x "
                f"{size[1]} pixels"
            )
        mask[box[0] : box[2], box[1] : box[3]] = True
    return masks
