"""State dicts: read without running anything in them, and put only where they fit."""

from __future__ import annotations

import pickle
import re
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.arguments import expanded

from .checkpoints import PLAIN, State, best, keys_of, states_in


def load_weights(model: nn.Module, file: str) -> tuple[str, ...]:
    """Put a state dict into a model.

    It may lie in a checkpoint, under one of the usual keys, and its names may have the prefixes
    of wrappers: see ``deconvnet.zoo.checkpoints``.

    Returns:
        The modules it does not cover: only allowed above everything it does.

    Raises:
        ValueError: the file is no state dict, or not one of this model.
        FileNotFoundError: no such file.
    """
    file = expanded(file)
    states = _states(file)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    state = _chosen(states, own, file)
    counters = {key for key in own if key.endswith("num_batches_tracked")}
    extra = [key for key in state if key not in own]
    if extra:
        raise ValueError(
            f"the weights {file!r} are not those of this {type(model).__name__}: it has no "
            f"{_some(extra)}, but has {_some(list(own))}"
        )
    for key, value in state.items():
        if value.shape != own[key].shape:
            raise ValueError(
                f"the weights {file!r} are not those of this {type(model).__name__}: {key} is "
                f"{tuple(value.shape)} there and {tuple(own[key].shape)} in the model"
            )
    missing = [key for key in own if key not in state and key not in counters]
    untrained = _uncovered(list(own), missing, file, model)
    model.load_state_dict(dict(state), strict=False)
    if untrained:
        warnings.warn(
            f"the weights {file!r} cover {len(own) - len(missing)} of {len(own)} tensors; "
            f"{', '.join(untrained)} stay random, so look only at layers below",
            stacklevel=3,
        )
    return untrained


def read_weights(file: str) -> dict[str, Tensor]:
    """The tensors of a state dict, or of the first in a checkpoint, by the names in the file.

    Raises:
        ValueError: the file holds anything else; nothing in it is executed.
        FileNotFoundError: no such file.
    """
    return dict(_states(expanded(file))[0].tensors)


def _chosen(states: list[State], own: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """The state dict that fits best; what is left aside is told."""
    taken, state = best(states, own)
    if len(states) > 1:
        others = " and ".join(each.key for each in states if each is not taken)
        warnings.warn(
            f"the weights under {taken.key!r} in {file!r} were taken, not those under {others}; "
            "save the others alone to use them",
            stacklevel=4,
        )
    dropped = len(taken.tensors) - len(state)
    if dropped:
        warnings.warn(
            f"{dropped} of {len(taken.tensors)} tensors in {file!r} are not of this model, by "
            "their prefix, and were left out",
            stacklevel=4,
        )
    return state


def _states(file: str) -> list[State]:
    """The state dicts in a file, at least one."""
    content = _content(file)
    found = states_in(content)
    if isinstance(content, Mapping) and not content:
        raise ValueError(f"{file!r} holds an empty state dict; give the weights of a model")
    if not found:
        keys = f" (its keys: {keys_of(content)})" if isinstance(content, Mapping) else ""
        raise ValueError(
            f"{file!r} holds {type(content).__name__}, expected a state dict of tensors, or one "
            f"under a key such as {', '.join(PLAIN[:4])}{keys}; save one with "
            "torch.save(model.state_dict(), file)"
        )
    return found


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


def _uncovered(keys: list[str], missing: list[str], file: str, model: nn.Module) -> tuple[str, ...]:
    """The modules that are missing whole, if they are the last ones; else an error."""
    modules = list(dict.fromkeys(key.rpartition(".")[0] for key in keys))
    lacking = {key.rpartition(".")[0] for key in missing}
    given = {key.rpartition(".")[0] for key in keys if key not in missing}
    partly = sorted(lacking & {m for m in given if _has_parameters(model, m, keys, missing)})
    first = min((modules.index(m) for m in lacking), default=len(modules))
    last = max((modules.index(m) for m in given), default=-1)
    if partly or first < last:
        raise ValueError(
            f"the weights {file!r} are not those of this {type(model).__name__}: they lack "
            f"{_some(missing)}"
        )
    return tuple(m for m in modules if m in lacking)


def _has_parameters(model: nn.Module, module: str, keys: list[str], missing: list[str]) -> bool:
    """Whether any of a module's tensors but its counters was given."""
    own = [key for key in keys if key.rpartition(".")[0] == module]
    return any(k not in missing and not k.endswith("num_batches_tracked") for k in own)


def _some(keys: list[str]) -> str:
    shown = ", ".join(keys[:3])
    return f"{shown} and {len(keys) - 3} more" if len(keys) > 3 else shown
