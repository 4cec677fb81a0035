"""The embedded weights: float16 on disk, float32 in memory, class names in the same file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save
from torch import Tensor, nn

from deconvnet.atomic import write_whole


def save_weights(
    model: nn.Module, path: str | Path, *, classes: Sequence[str], about: Mapping[str, Any]
) -> None:
    """Write a network's state as float16, whole or not at all; the same state, the same bytes.

    ``classes`` are the names of the outputs, in order; ``about`` is anything JSON can hold.
    """
    state = {}
    for name, value in model.state_dict().items():
        half = value.detach().to(torch.float16).contiguous()
        if not torch.isfinite(half).all():
            raise ValueError(f"{name} holds values float16 cannot: expected all within +-65504")
        state[name] = half
    metadata = {"classes": json.dumps(list(classes)), "about": json.dumps(dict(about))}
    write_whole(path, _in_order(save(state, metadata=metadata)))


def _in_order(file: bytes) -> bytes:
    """Sort the metadata of a safetensors file, whose order is random otherwise.

    The format: the header's length in 8 bytes, little-endian; the header, JSON; the tensors.
    """
    length = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + length])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)  # tensors stay aligned
    return len(text).to_bytes(8, "little") + text + file[8 + length :]


def load_weights(path: str | Path) -> dict[str, Tensor]:
    """Read a state dict written by :func:`save_weights`, as float32."""
    with _opened(path) as file:
        return {name: file.get_tensor(name).float() for name in file.keys()}


def load_classes(path: str | Path) -> list[str]:
    """Read the names of the outputs."""
    return [str(name) for name in _metadata(path, "classes")]


def load_about(path: str | Path) -> dict[str, Any]:
    """Read how the weights were made and how good they are."""
    return dict(_metadata(path, "about"))


def _metadata(path: str | Path, key: str) -> Any:
    with _opened(path) as file:
        metadata = file.metadata() or {}
    if key not in metadata:
        raise ValueError(
            f"{path} holds no {key!r}: expected a file written by save_weights, "
            "write it again with scripts/zoo/train.py"
        )
    return json.loads(metadata[key])


def _opened(path: str | Path) -> Any:
    if not Path(path).is_file():
        raise FileNotFoundError(
            f"there are no weights at {path}: reinstall deconvnet, or train them with "
            "scripts/zoo/train.py"
        )
    return safe_open(path, framework="pt")
