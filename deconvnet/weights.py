"""State dicts: read without running anything in them, and put only where they fit."""

from __future__ import annotations

import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn


def load_weights(model: nn.Module, file: str) -> tuple[str, ...]:
    """Put a state dict into a model.

    Returns:
        The modules it does not cover: only allowed above everything it does.

    Raises:
        ValueError: the file is no state dict, or not one of this model.
        FileNotFoundError: no such file.
    """
    state = read_weights(file)
    own = {key: value for key, value in model.state_dict().items() if isinstance(value, Tensor)}
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
    """The tensors of a state dict, without the "module." that DataParallel puts before names.

    Raises:
        ValueError: the file holds anything else; nothing in it is executed.
        FileNotFoundError: no such file.
    """
    path = Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"there is no file of weights {file!r}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            found: Any = load_file(path)
        else:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickles it will refuse anyway
                found = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{file!r} is not a plain state dict, and nothing else is read because it could run "
            "code; save one with torch.save(model.state_dict(), file)"
        ) from error
    except Exception as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(f"{file!r} cannot be read as weights: {reason}") from error
    if isinstance(found, Mapping) and isinstance(found.get("state_dict"), Mapping):
        found = found["state_dict"]
    if not isinstance(found, Mapping) or not all(isinstance(v, Tensor) for v in found.values()):
        raise ValueError(
            f"{file!r} holds {type(found).__name__}, expected a state dict of tensors; save one "
            "with torch.save(model.state_dict(), file)"
        )
    if not found:
        raise ValueError(f"{file!r} holds an empty state dict; give the weights of a model")
    return {str(key).removeprefix("module."): value for key, value in found.items()}


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
