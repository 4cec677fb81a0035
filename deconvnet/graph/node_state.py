"""The state that an operation of a model runs in: ``no_grad`` and ``autocast`` within forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch

DEVICES = ("cpu", "cuda")


@dataclass(frozen=True)
class State:
    """What context managers had set when a node was made.

    Args:
        grad: values have a derivative; false within ``no_grad`` and ``inference_mode``.
        autocast: the kinds of device for which autocast was on, and its precision.
    """

    grad: bool = True
    autocast: tuple[tuple[str, torch.dtype], ...] = ()

    @contextmanager
    def entered(self) -> Iterator[None]:
        """The same autocast for a while."""
        with ExitStack() as stack:
            for device, dtype in self.autocast:
                stack.enter_context(torch.autocast(device, dtype))
            yield


PLAIN = State()


def current() -> State:
    """The state of this moment."""
    grad = torch.is_grad_enabled() and not torch.is_inference_mode_enabled()
    return State(grad, tuple((d, _dtype(d)) for d in DEVICES if _enabled(d)))


def _enabled(device: str) -> bool:
    if hasattr(torch, "get_autocast_dtype"):  # torch 2.4
        return bool(torch.is_autocast_enabled(device))
    old = {"cpu": torch.is_autocast_cpu_enabled, "cuda": torch.is_autocast_enabled}
    return bool(old[device]())


def _dtype(device: str) -> torch.dtype:
    if hasattr(torch, "get_autocast_dtype"):
        return torch.get_autocast_dtype(device)
    old = {"cpu": torch.get_autocast_cpu_dtype, "cuda": torch.get_autocast_gpu_dtype}
    return old[device]()
