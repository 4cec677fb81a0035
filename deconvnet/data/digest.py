"""What fingerprints are made of: the bytes of tensors, and of a few images of a data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from .samples import read_item, sampled


def bytes_of(tensor: Tensor) -> memoryview:
    """The values of a tensor, row-major."""
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")


def few_images(dataset: Any) -> Iterator[bytes]:
    """The bytes of a few images, evenly spread over the data set, with number and shape."""
    for index in sampled(dataset):
        item = read_item(dataset, index)
        image = item[0] if isinstance(item, (tuple, list)) and item else item
        if isinstance(image, Tensor):
            yield f"{index} {tuple(image.shape)}\n".encode() + bytes_of(image)
