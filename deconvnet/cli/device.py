"""The device that ``--device`` names."""

from __future__ import annotations

import os

import torch

from deconvnet.mining.run.sharding import gpu


def device_of(name: str) -> torch.device:
    """A device that works here; "auto" is the GPU where there is one.

    Of several GPUs each process of a machine takes its own, as torchrun or srun number them.

    Raises:
        ValueError: it cannot be used.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda":
        name = gpu(os.environ, torch.cuda.device_count())
    try:
        if name == "meta":
            raise RuntimeError("it holds no values")
        return torch.zeros((), device=name).device
    except (RuntimeError, AssertionError) as error:
        raise ValueError(f"the device {name!r} cannot be used here: {error}") from error
