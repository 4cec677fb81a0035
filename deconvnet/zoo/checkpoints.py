"""Checkpoints: where in one the state dict lies, and which prefixes its names have."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights")
"""Keys under which training code saves the state dict of its model."""
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema")
"""Keys of running averages of it, which are taken where there is no plain one."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What wrappers put before names: DataParallel, torch.compile, Lightning, and habit."""
_DEPTH = 2  # a state dict may lie under a key of a dict that lies under a key
_LONGEST = 4  # prefixes, one before the other


@dataclass(frozen=True)
class State:
    """A state dict within a checkpoint.

    Args:
        key: where it lies: "", "model", "model.state_dict".
        tensors: by name, as they are written.
    """

    key: str
    tensors: Mapping[str, Tensor]


def states_in(content: object) -> list[State]:
    """The state dicts in what a file holds, plain ones before averages.

    They lie at the top, under one of the usual keys, or under the only key that holds any, once
    or twice below each other.
    """
    return list(_states(content, "", _DEPTH))


def fitted(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The tensors by the names of a model, without the prefixes that wrappers have put before them.

    Prefixes are taken off only where more names fit the model then. Tensors that do not have
    them belong to something beside the model, such as a loss, and are dropped if the model does
    not know them.

    Args:
        tensors: as they are written.
        own: the state dict of the model.
    """
    return max(_renamed(dict(tensors), own), key=lambda made: _fit(made, own))


def _states(content: object, key: str, depth: int) -> Iterator[State]:
    if _is_state(content):
        assert isinstance(content, Mapping), "a state dict is one"
        tensors = {name: value for name, value in content.items() if isinstance(value, Tensor)}
        yield State(key, tensors)
    elif isinstance(content, Mapping) and depth:
        below = {
            name: list(_states(value, f"{key}.{name}" if key else str(name), depth - 1))
            for name, value in content.items()
            if isinstance(value, Mapping)
        }
        known = [name for name in (*PLAIN, *AVERAGED) if below.get(name)]
        others = [name for name, found in below.items() if found and name not in known]
        for name in known or (others if len(others) == 1 else []):
            yield from below[name]


def _is_state(content: object) -> bool:
    """Whether it is tensors by name, with nothing besides but numbers, text and the like."""
    if not isinstance(content, Mapping) or not all(isinstance(name, str) for name in content):
        return False
    nested = any(isinstance(value, Mapping | list | tuple) for value in content.values())
    return not nested and any(isinstance(value, Tensor) for value in content.values())


def _renamed(
    tensors: dict[str, Tensor], own: Collection[str], taken: int = 0
) -> Iterator[dict[str, Tensor]]:
    """The tensors as they are, and without every sequence of prefixes."""
    yield tensors
    for prefix in PREFIXES if taken < _LONGEST else ():
        names = {name: _without(prefix, name) for name in tensors}
        kept = {old: new for old, new in names.items() if old != new or new in own}
        once = max(Counter(kept.values()).values(), default=0) == 1
        if once and any(old != new for old, new in kept.items()):
            made = {new: tensors[old] for old, new in kept.items()}
            yield from _renamed(made, own, taken + 1)


def _without(prefix: str, name: str) -> str:
    """The name without a prefix; torch.compile and DataParallel also wrap parts of a model."""
    inner = name.replace(f".{prefix}", ".") if prefix in PREFIXES[:2] else name
    return inner.removeprefix(prefix)


def _fit(tensors: Mapping[str, Tensor], own: Mapping[str, Tensor]) -> tuple[int, int]:
    """How many tensors fit by name and shape, and how many by name."""
    named = [name for name in tensors if name in own]
    return sum(tensors[name].shape == own[name].shape for name in named), len(named)


def best(states: list[State], own: Mapping[str, Tensor]) -> tuple[State, dict[str, Tensor]]:
    """The state dict that fits a model best, the first of equals, by the model's own names."""
    made = [(state, fitted(state.tensors, own)) for state in states]
    return max(made, key=lambda pair: _fit(pair[1], own))


def keys_of(content: Mapping[Any, object], *, shown: int = 8) -> str:
    """The keys of a checkpoint, for a message."""
    names = [repr(key) for key in content]
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more
