"""Fingerprints: whether a model or a data set is still the one it was."""

from __future__ import annotations

import hashlib
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.graph import Graph
from deconvnet.items import read_item, sampled


def of_model(graph: Graph) -> str:
    """SHA-256 over the parameters and buffers and over the nodes of the graph, in hexadecimal."""
    digest = hashlib.sha256()
    for name, tensor in sorted(_state(graph.model).items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_bytes(tensor))
    for node in graph:
        digest.update(f"{node.name} {node.kind} {','.join(node.sources)}\n".encode())
    return digest.hexdigest()


def of_dataset(dataset: Any) -> str:
    """What the data set says of itself, else SHA-256 over its length and a few of its items."""
    own = getattr(dataset, "fingerprint", None)
    if callable(own):
        return str(own())
    digest = hashlib.sha256(f"{type(dataset).__name__} {len(dataset)}\n".encode())
    for index in sampled(dataset):
        item = read_item(dataset, index)
        image = item[0] if isinstance(item, (tuple, list)) and item else item
        if isinstance(image, Tensor):
            digest.update(f"{index} {tuple(image.shape)}\n".encode() + _bytes(image))
    return digest.hexdigest()


def _state(model: nn.Module) -> dict[str, Tensor]:
    return {name: value for name, value in model.state_dict().items() if isinstance(value, Tensor)}


def _bytes(tensor: Tensor) -> memoryview:
    flat = tensor.detach().cpu().contiguous().flatten()
    return flat.view(torch.uint8).numpy().data if flat.numel() else memoryview(b"")
