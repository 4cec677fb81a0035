"""The state of a model, to see whether it is still the one that a graph was compared with."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.modules.module as everywhere
from torch import Tensor, nn

PLAIN = (bool, int, float, str, type(None))


def state_of(model: nn.Module) -> int:
    """A number that changes with parameters, buffers, hooks and settings of a model's modules."""
    found: list[object] = [
        tuple(of_everyone(everywhere._global_forward_hooks)),
        tuple(of_everyone(everywhere._global_forward_pre_hooks)),
    ]
    for module in model.modules():
        names = vars(module)
        found += [id(module), *hooks_of(module)]
        found += [v for k, v in names.items() if isinstance(v, PLAIN) and k != "training"]
        found += [_tensor(value) for value in names.values() if isinstance(value, Tensor)]
        found += map(_tensor, module._parameters.values())
        found += map(_tensor, module._buffers.values())
    return hash(tuple(found))


def of_everyone(hooks: Mapping[int, Any]) -> dict[int, Any]:
    """Hooks for all modules, without those by which torch itself counts and profiles."""
    return {
        number: hook
        for number, hook in hooks.items()
        if not str(getattr(hook, "__module__", "")).startswith("torch.")
    }


def hooks_of(module: nn.Module) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """The numbers of the hooks that a call of a module runs, before and after it."""
    after = (n for n, hook in module._forward_hooks.items() if not hasattr(hook, "of_the_check"))
    return tuple(module._forward_pre_hooks), tuple(after)


def _tensor(value: Tensor | None) -> object:
    if value is None:
        return None
    version = 0 if value.is_inference() else value._version
    return id(value), version, value.data_ptr()


def contents(value: object) -> object:
    """What tells a constant apart: the bytes of a tensor, else the object itself."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_quantized:
        return id(value)
    plain = value.detach().cpu().contiguous().flatten().view(torch.uint8)
    return value.dtype, tuple(value.shape), hashlib.sha256(plain.numpy().tobytes()).hexdigest()
