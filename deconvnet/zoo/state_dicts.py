"""Load state dicts into models: no code in a file is run, and a misfit is an error."""

from __future__ import annotations

import pickle
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.arguments import expanded

PLAIN = ("state_dict", "model_state_dict", "model", "net", "network", "module", "params", "weights")
"""Keys under which training code saves the state dict of its model."""
AVERAGED = ("model_ema", "state_dict_ema", "ema_state_dict", "ema")
"""Keys of running averages of it, which are taken where there is no plain one."""
PREFIXES = ("module.", "_orig_mod.", "model.", "net.", "network.", "backbone.")
"""What wrappers put before names: DataParallel, torch.compile, Lightning, and habit."""
_DEPTH = 2  # a state dict may lie under a key of a dict that lies under a key
_LONGEST = 4  # prefixes, one before the other


def load_state_dict(model: nn.Module, file: str) -> tuple[str, ...]:
    """Load a state dict from a file into a model.

    The state dict may lie in a checkpoint, under one of the usual keys, and its names may have the
    prefixes of wrappers.

    Returns:
        The modules it does not cover, which stay random: only allowed above all that it covers.
    """
    file = expanded(file)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    state = _chosen(_states(file), own, file)
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    untrained = _above(list(own), missing)
    extra = [key for key in state if key not in own]
    reshaped = [key for key in state if key in own and state[key].shape != own[key].shape]
    if extra or reshaped or untrained is None:
        fault = f"they lack {_some(missing)}"
        if extra:
            fault = f"it has no {_some(extra)}, but has {_some(list(own))}"
        elif reshaped:
            sizes = (tuple(tensors[reshaped[0]].shape) for tensors in (state, own))
            fault = "{} is {} there and {} in the model".format(reshaped[0], *sizes)
        kind = type(model).__name__
        raise ValueError(f"the weights {file!r} are not those of this {kind}: {fault}")
    model.load_state_dict(state, strict=False)
    if untrained:
        warnings.warn(
            f"the weights {file!r} cover {len(own) - len(missing)} of {len(own)} tensors; "
            f"{', '.join(untrained)} stay random, so look only at layers below",
            stacklevel=3,
        )
    return untrained


def _above(keys: list[str], missing: list[str]) -> tuple[str, ...] | None:
    """The modules of missing tensors, if they are missing whole and come last; else None."""
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in keys))
    lacking = {key.rpartition(".")[0] for key in missing}
    counters = {key for key in keys if key.endswith("num_batches_tracked")}
    given = {key.rpartition(".")[0] for key in set(keys).difference(missing, counters)}
    untrained = tuple(module for module in modules if module in lacking)
    last = max((modules.index(module) for module in given), default=-1)
    whole = not lacking & given and all(modules.index(module) > last for module in untrained)
    return untrained if whole else None


def _chosen(
    states: Mapping[str, dict[str, Tensor]], own: Mapping[str, Tensor], file: str
) -> dict[str, Tensor]:
    """The tensors of the state dict that fits best, by the model's names; of equals the first.

    Prefixes of wrappers are taken off only where more names fit the model then. Tensors without
    them belong to something beside the model, such as a loss, and are left out. A warning says
    what is not used.
    """
    made = [(key, one) for key, state in states.items() for one in _renamed(state, own)]
    taken, state = max(made, key=lambda pair: _fit(pair[1], own))
    if len(states) > 1:
        others = " and ".join(key for key in states if key != taken)
        warnings.warn(
            f"the weights under {taken!r} in {file!r} were taken, not those under {others}; "
            "save the others alone to use them",
            stacklevel=4,
        )
    dropped = len(states[taken]) - len(state)
    if dropped:
        warnings.warn(
            f"{dropped} of {len(states[taken])} tensors in {file!r} are not of this model, by "
            "their prefix, and were left out",
            stacklevel=4,
        )
    return state


def _states(file: str) -> dict[str, dict[str, Tensor]]:
    """The state dicts in a file, at least one."""
    content = _content(file)
    if isinstance(content, Mapping) and not content:
        raise ValueError(f"{file!r} holds an empty state dict; give the weights of a model")
    states = states_in(content)
    if not states:
        names = list(map(repr, content)) if isinstance(content, Mapping) else []
        keys = f" (its keys: {_some(names, 8)})" if names else ""
        raise ValueError(
            f"{file!r} holds {type(content).__name__}, expected a state dict of tensors, or one "
            f"under a key such as {', '.join(PLAIN[:4])}{keys}; save one with "
            "torch.save(model.state_dict(), file)"
        )
    return states


def _content(file: str) -> Any:
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {file!r}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            return load_file(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of pickles it will refuse anyway
            return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        named = re.search(r"GLOBAL ([\w.]+)", str(error))
        held = f" (it holds {named[1]})" if named else ""
        raise ValueError(
            f"{file!r} is not a plain state dict{held}, and nothing else is read because it could "
            "run code; save one with torch.save(model.state_dict(), file), or, if you trust the "
            "file, take it out once: torch.save(torch.load(file, weights_only=False)[KEY], other)"
        ) from error
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{file!r} cannot be read as weights: {reason}") from error


def _some(names: list[str], shown: int = 3) -> str:
    first = ", ".join(names[:shown])
    return f"{first} and {len(names) - shown} more" if len(names) > shown else first


def states_in(
    content: object, key: str = "", *, depth: int = _DEPTH
) -> dict[str, dict[str, Tensor]]:
    """The state dicts in what a file holds, by where they lie, plain ones before averages.

    They lie at the top, under one of the usual keys, or under the only key that holds any, once
    or twice below each other.
    """
    if not isinstance(content, Mapping):
        return {}
    if _is_state(content):
        return {key: {n: value for n, value in content.items() if isinstance(value, Tensor)}}
    below = {
        name: states_in(value, f"{key}.{name}" if key else str(name), depth=depth - 1)
        for name, value in content.items()
        if depth
    }
    known = [name for name in (*PLAIN, *AVERAGED) if below.get(name)]
    others = [name for name, states in below.items() if states and name not in known]
    chosen = known or (others if len(others) == 1 else [])
    return {where: state for name in chosen for where, state in below[name].items()}


def _is_state(content: Mapping[Any, object]) -> bool:
    """Whether this maps names to tensors, and otherwise to numbers and text only."""
    if not all(isinstance(name, str) for name in content):
        return False
    nested = any(isinstance(value, Mapping | list | tuple) for value in content.values())
    return not nested and any(isinstance(value, Tensor) for value in content.values())


def _renamed(
    tensors: dict[str, Tensor], own: Collection[str], taken: int = 0
) -> Iterator[dict[str, Tensor]]:
    """The tensors as named, and with each sequence of wrapper prefixes removed."""
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
    """How many tensors match by name and shape, and how many by name."""
    named = [name for name in tensors if name in own]
    return sum(tensors[name].shape == own[name].shape for name in named), len(named)
