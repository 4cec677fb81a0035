"""Run a model's forward without side effects on the model or on random number generators."""

from __future__ import annotations

import random
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd.grad_mode import _unsafe_preserve_version_counter
from torch.nn.parameter import is_lazy
from torch.utils import _pytree as pytree
from torch.utils._python_dispatch import TorchDispatchMode

from .caches import OURS, nothing_kept
from .modes import evaluation

CONTAINERS = (dict, OrderedDict, list, set)


@dataclass
class Traces:
    """Side effects that a model's forward would have had; known when it has run."""

    drawn: bool = False  # it has drawn random numbers, or set their generators
    written: bool = False  # it has written into its buffers or parameters
    parameters: set[str] = field(default_factory=set)  # those that it has written into, by path

    def __bool__(self) -> bool:
        return self.drawn or self.written


@contextmanager
def without_traces(model: nn.Module) -> Iterator[Traces]:
    """Evaluation mode for a while; afterwards random numbers, buffers and attributes are as before.

    Meanwhile the buffers are copies, so that those of the model are never written into; no cache
    keeps one of them (``nothing_kept``).
    """
    traces = Traces()
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    copies: dict[int, Tensor] = {}
    own = random.getstate(), np.random.get_state()  # noqa: NPY002
    kept = left_as_it_was(model), nothing_kept(model)
    with torch.random.fork_rng(devices), kept[0], kept[1], evaluation(model):
        held = [
            (module._buffers, name, buffer, copies.setdefault(id(buffer), _copy(buffer)))
            for module in model.modules()
            for name, buffer in module._buffers.items()
            if buffer is not None
        ]
        for buffers, name, _, copy in held:
            buffers[name] = copy
        states = _generators(devices)
        try:
            yield traces
        finally:
            traces.drawn = traces.drawn or states != _generators(devices)
            traces.written = traces.written or any(
                buffers.get(name) is not copy or not _same(buffer, copy)
                for buffers, name, buffer, copy in held
            )
            random.setstate(own[0])
            np.random.set_state(own[1])  # noqa: NPY002


def _copy(buffer: Tensor) -> Tensor:
    copy = buffer.detach().clone()
    setattr(copy, OURS, True)
    return copy


def _same(one: Tensor, other: Tensor) -> bool:
    """Whether a copy has not been written into."""
    if one.layout != torch.strided or one.device.type == "meta":
        return not other._version
    return one.shape == other.shape and one.dtype == other.dtype and torch.equal(one, other)


def _generators(devices: set[torch.device]) -> tuple[object, ...]:
    """The states of all generators that a model draws from unless it has its own."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002
    states = [torch.get_rng_state(), *(torch.cuda.get_rng_state(d) for d in devices)]
    plain = tuple(state.numpy().tobytes() for state in states)
    return plain, random.getstate(), (kind, np.asarray(keys).tobytes(), *rest)


class Unguardable(BaseException):
    """A model calls an operation on functions (``torch.cond``), which runs otherwise in a mode."""


@contextmanager
def parameters_kept(model: nn.Module, traces: Traces | None = None) -> Iterator[None]:
    """Parameters that are written into meanwhile get their values back.

    They are copied only when something is about to be written, since they may be large. That one
    was written is noted in ``traces``.

    Raises:
        Unguardable: nothing can be seen of what a model calls.
    """
    named = [(path, one) for path, one in model.named_parameters() if _has_values(one)]
    data = [(one, one.data) for _, one in named]
    guard = _CopiedBeforeWritten([own for _, own in data])
    try:
        with ExitStack() as versions, guard:
            for one, _ in data:  # the values that are put back are those of the old version
                versions.enter_context(_unsafe_preserve_version_counter(one))
            yield
    finally:
        moved = [(one, own) for one, own in data if one.data_ptr() != own.data_ptr()]
        for parameter, own in moved:
            parameter.data = own
        for own, copy in guard.copies:
            own.copy_(copy)
        if traces is not None and (guard.copies or moved):
            written = {id(own) for own, _ in (*guard.copies, *((own, one) for one, own in moved))}
            pairs = zip(named, data, strict=True)
            traces.written = True
            traces.parameters |= {path for (path, _), (_, own) in pairs if id(own) in written}


class _CopiedBeforeWritten(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Copies tensors before an operation writes into their memory."""

    supports_higher_order_operators = True

    def __init__(self, tensors: list[Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.copies: list[tuple[Tensor, Tensor]] = []
        self._at: dict[int, list[Tensor]] = {}
        for one in tensors:
            if one.numel():
                self._at.setdefault(one.untyped_storage().data_ptr(), []).append(one)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        if not isinstance(func, torch._ops.OpOverload):
            raise Unguardable(str(func))
        if func._schema.is_mutable:
            names = [argument.name for argument in func._schema.arguments]
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            for argument in func._schema.arguments:
                if argument.alias_info is not None and argument.alias_info.is_write:
                    for one in pytree.tree_leaves(given.get(argument.name)):
                        self._before(one)
        return func(*args, **kwargs)

    def _before(self, written: Any) -> None:
        if type(written) in (Tensor, nn.Parameter) and written.layout == torch.strided:
            place = written.untyped_storage().data_ptr()
            self.copies += [(own, own.clone()) for own in self._at.pop(place, [])]


def _has_values(parameter: nn.Parameter) -> bool:
    """Whether it is a plain tensor that has been given values."""
    lazy = is_lazy(parameter) or parameter.is_inference() or parameter.device.type == "meta"
    return not lazy and parameter.layout == torch.strided and type(parameter.data) is Tensor


@contextmanager
def left_as_it_was(model: nn.Module) -> Iterator[None]:
    """On leaving, undo what a forward sets on its modules: torch.fx stores constants there.

    So is undone what it puts into their lists and dictionaries: models keep biases and grids there,
    and while they are traced these are no tensors that a later call could use.
    """
    before = [(vars(module), dict(vars(module))) for module in model.modules()]
    held = [value for _, kept in before for value in kept.values() if type(value) in CONTAINERS]
    contents = [(value, value.copy()) for value in held]
    try:
        yield
    finally:
        for names, kept in before:
            for name in [name for name in names if name not in kept]:
                del names[name]
            # the flag is ``evaluation``'s, which another thread may be in
            names.update({name: value for name, value in kept.items() if name != "training"})
        for value, copy in contents:
            value.clear()
            value.extend(copy) if isinstance(value, list) else value.update(copy)
