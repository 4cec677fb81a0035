"""Evaluation mode for a while, and work outside the caller's autocast and inference mode."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass

import torch
from torch import nn

from .model_state import modules_of


@dataclass
class _Held:
    """A module's own flag, and how many are at work with it."""

    training: bool
    users: int = 0


_LOCK = threading.Lock()
_HELD: dict[nn.Module, _Held] = {}


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module gets back the flag it had.

    Where several threads are at work, the first to come notes the flags, and the last to go puts
    them back. (Reading a graph is another matter: torch.fx changes ``nn.Module`` for the whole
    process while it does, so that no other thread should run a model then.)
    """
    modules = modules_of(model)
    with _LOCK:
        for module in modules:
            held = _HELD.get(module)
            if held is None:
                held = _HELD[module] = _Held(module.training)
            held.users += 1
            if module.training is not False:
                module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                held = _HELD[module]
                held.users -= 1
                if not held.users:
                    if module.training is not held.training:
                        module.training = held.training
                    del _HELD[module]


@contextmanager
def plain() -> Iterator[None]:
    """Run outside the caller's autocast and inference mode; ``@plain()`` decorates functions.

    Under autocast a model gives other values than its parameters' precision says, and what is
    made in inference mode carries no derivative.
    """
    kinds = ("cpu", "cuda") if torch.cuda.is_available() else ("cpu",)
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode(False))
        for kind in kinds:
            stack.enter_context(torch.autocast(kind, enabled=False))
        yield


@contextmanager
def threads_of_cpu(count: int | None) -> Iterator[None]:
    """So many threads for a while; None for as many as there are."""
    before = torch.get_num_threads()
    try:
        if count is not None and count != before:
            torch.set_num_threads(count)
        yield
    finally:
        if torch.get_num_threads() != before:
            torch.set_num_threads(before)
