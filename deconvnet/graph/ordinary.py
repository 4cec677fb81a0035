"""Work that does not depend on the mode in which its caller is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

import torch

P = ParamSpec("P")
R = TypeVar("R")


def ordinarily(function: Callable[P, R]) -> Callable[P, R]:
    """The same function, run outside of autocast and of inference mode.

    Under autocast a model gives other values than its parameters' precision says, and what is
    made in inference mode carries no derivative.
    """

    @wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with plain():
            return function(*args, **kwargs)

    return run


@contextmanager
def plain() -> Iterator[None]:
    """Neither autocast nor inference mode for a while."""
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
