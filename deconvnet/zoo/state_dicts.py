"""Load a state dict into a model: read without running code, refused where it does not fit."""

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

from .checkpoints import PLAIN, State, best, states_in


def load_state_dict(model: nn.Module, file: str) -> tuple[str, ...]:
    """Load a file of weights into a model.

    The state dict may lie in a checkpoint, under one of the usual keys, and its names may have the
    prefixes of wrappers: see ``deconvnet.zoo.checkpoints``.

    Returns:
        The modules it does not cover, which stay random: only allowed above all that it covers.

    Raises:
        ValueError: the file is no state dict, or not one of this model.
        FileNotFoundError: no such file.
    """
    file = expanded(file)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
    state = _chosen(_states(file), own, file)
    missing = [k for k in own if k not in state and not k.endswith("num_batches_tracked")]
    untrained = _above(list(own), missing)
    extra = [key for key in state if key not in own]
    reshaped = [key for key in state if key in own and state[key].shape != own[key].shape]
    fault = ""
    if extra:
        fault = f"it has no {_some(extra)}, but has {_some(list(own))}"
    elif reshaped:
        sizes = (tuple(tensors[reshaped[0]].shape) for tensors in (state, own))
        fault = "{} is {} there and {} in the model".format(reshaped[0], *sizes)
    elif untrained is None:
        fault = f"they lack {_some(missing)}"
    if fault or untrained is None:
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


def _chosen(states: list[State], own: Mapping[str, Tensor], file: str) -> dict[str, Tensor]:
    """The state dict that fits best; a warning says what is not used."""
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
    if isinstance(content, Mapping) and not content:
        raise ValueError(f"{file!r} holds an empty state dict; give the weights of a model")
    found = states_in(content)
    if not found:
        names = list(map(repr, content)) if isinstance(content, Mapping) else []
        keys = f" (its keys: {_some(names, 8)})" if names else ""
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


def _some(names: list[str], shown: int = 3) -> str:
    first = ", ".join(names[:shown])
    return f"{first} and {len(names) - shown} more" if len(names) > shown else first
