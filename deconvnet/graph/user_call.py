"""A model called as its user would call it, with nothing left behind."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor, nn

from .fx_tracing import left_as_it_was
from .modes import evaluation


@contextmanager
def without_traces(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards random numbers, buffers and attributes are as before.

    Meanwhile the buffers are copies, so that those of the model are never written into.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    copies: dict[int, Tensor] = {}
    with torch.random.fork_rng(devices), left_as_it_was(model), evaluation(model):
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    copy = copies.setdefault(id(buffer), buffer.detach().clone())
                    module._buffers[name] = copy
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
