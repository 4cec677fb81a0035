"""A model in evaluation mode for a while, and as it was again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from torch import nn


@dataclass
class _Held:
    """A module's own flag, and how many are at work with it."""

    training: bool
    users: int = 0


_LOCK = threading.Lock()
_HELD: WeakKeyDictionary[nn.Module, _Held] = WeakKeyDictionary()


@contextmanager
def evaluation(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; every module gets back the flag it had.

    Where several threads are at work, the first to come notes the flags, and the last to go puts
    them back. (Reading a graph is another matter: torch.fx changes ``nn.Module`` for the whole
    process while it does, so that no other thread should run a model then.)
    """
    modules = list(model.modules())
    with _LOCK:
        for module in modules:
            held = _HELD.setdefault(module, _Held(module.training))
            held.users += 1
            module.training = False
    try:
        yield
    finally:
        with _LOCK:
            for module in modules:
                held = _HELD[module]
                held.users -= 1
                if not held.users:
                    module.training = held.training
                    del _HELD[module]
