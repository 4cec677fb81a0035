"""The state that an operation of a model runs in: ``no_grad`` and ``autocast`` within forward."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch


@dataclass(frozen=True)
class State:
    """What context managers had set when a node was made."""

    grad: bool = True  # values have a derivative; false within no_grad and inference_mode
    autocast: tuple[tuple[str, torch.dtype], ...] = ()  # kinds of device with autocast on

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
    on = [device for device in ("cpu", "cuda") if torch.is_autocast_enabled(device)]
    return State(grad, tuple((device, torch.get_autocast_dtype(device)) for device in on))
