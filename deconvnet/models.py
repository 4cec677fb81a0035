"""Models and data sets by a word on the command line, with their weights and preprocessing."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import torch
from torch import nn

from deconvnet import zoo
from deconvnet.images import ImageFolder, Preprocessing
from deconvnet.weights import load_weights

RANDOM = ("zoo:zfnet", "zoo:allcnn")  # networks of papers, of which there are no weights
SPECS = "torchvision:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory"


@dataclass(frozen=True, eq=False)
class LoadedModel:
    """A model ready to be looked at.

    Args:
        model: in evaluation mode.
        spec: the word it was loaded by.
        weights: the file, or the name, of its weights; empty for none.
        preprocessing: what it wants done to photographs.
        untrained: modules that the weights did not cover and that are still random.
    """

    model: nn.Module
    spec: str
    weights: str
    preprocessing: Preprocessing
    untrained: tuple[str, ...] = ()

    def trained(self, layer: str) -> bool:
        """Whether a layer's own module was covered by the weights."""
        return not any(layer == name or layer.startswith(f"{name}.") for name in self.untrained)


def load(
    spec: str, weights: str | None = None, *, preprocessing: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Build a model and load its weights.

    Args:
        spec: torchvision:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory.
        weights: a state dict (.pth, .pt, .safetensors), or "DEFAULT" for torchvision's own. A
            file that covers only the lower part of the model is accepted, with a warning.
        preprocessing: fields that replace those of the model's own.

    Raises:
        ValueError: no such model, or weights that are not this model's.
        FileNotFoundError: no such file.
    """
    kind, name = _parts(spec)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what the weights leave random is the same every time
        model, own = _build(kind, name, weights)
    untrained: tuple[str, ...] = ()
    if weights is not None and weights != "DEFAULT":
        untrained = load_weights(model, weights)
    elif weights is None and (kind == "torchvision" or spec in RANDOM):
        warnings.warn(
            f"{spec} has random weights; give --weights FILE, or, for torchvision's models, "
            "--weights DEFAULT",
            stacklevel=2,
        )
    changed = {key: value for key, value in (preprocessing or {}).items() if value is not None}
    chosen = replace(own, **changed)
    return LoadedModel(model.eval(), spec, weights or "", chosen, untrained)


def dataset(spec: str, preprocessing: Preprocessing) -> Any:
    """A data set: a folder of images, or what ``package.module:factory`` returns.

    Raises:
        ValueError: neither a folder nor a factory.
        FileNotFoundError: a folder without images.
    """
    if Path(spec).is_dir():
        return ImageFolder(spec, preprocessing)
    if ":" not in spec:
        raise FileNotFoundError(
            f"there is no folder {spec!r}; give a folder of images, or package.module:factory"
        )
    kind, name = _parts(spec)
    made = _made_by(kind, name)
    if not hasattr(made, "__getitem__") or not hasattr(made, "__len__"):
        raise ValueError(
            f"{spec} returned {type(made).__name__}, expected a map-style data set with len() "
            "and [i]"
        )
    return made


def _parts(spec: str) -> tuple[str, str]:
    kind, colon, name = spec.rpartition(":")
    if not colon or not kind or not name:
        raise ValueError(f"{spec!r} is no model; write {SPECS}")
    return kind, name


def _build(kind: str, name: str, weights: str | None) -> tuple[nn.Module, Preprocessing]:
    if kind == "torchvision":
        return _torchvision(name, weights)
    if weights == "DEFAULT":
        raise ValueError(f"only torchvision: models have DEFAULT weights, {kind}:{name} has not")
    if kind == "zoo":
        if name not in zoo.NAMES:
            raise ValueError(f"the zoo has no {name!r}; it has {', '.join(zoo.NAMES)}")
        return zoo.NAMES[name](), zoo.preprocessing(name)
    model = _made_by(kind, name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{kind}:{name} returned {type(model).__name__}, expected a torch module")
    return model, Preprocessing.imagenet()


def _torchvision(name: str, weights: str | None) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    known = models.list_models()
    if name not in known:
        near = get_close_matches(name, known, n=4, cutoff=0.4)
        raise ValueError(f"torchvision has no {name!r}; the nearest are {', '.join(near) or known}")
    try:
        own = "DEFAULT" if weights == "DEFAULT" else None  # a file is loaded afterwards
        model: nn.Module = models.get_model(name, weights=own)
    except OSError as error:
        raise ValueError(
            f"torchvision's weights of {name} could not be downloaded ({error}); give a file with "
            "--weights FILE"
        ) from error
    return model, _preset(models.get_model_weights(name))


def _preset(weights: Any) -> Preprocessing:
    """The preprocessing that torchvision's own weights of a model were trained with."""
    preset: Any = weights.DEFAULT.transforms() if hasattr(weights, "DEFAULT") else None
    if len(getattr(preset, "crop_size", ())) != 1:  # segments, detects, or looks at videos
        return Preprocessing.imagenet()
    (size,), (resize,) = preset.crop_size, preset.resize_size
    mean, std = tuple(preset.mean), tuple(preset.std)
    return Preprocessing((size, size), resize, mean, std, preset.interpolation.value)


def _made_by(kind: str, name: str) -> Any:
    """What a function of a Python file or module returns."""
    factory = _factory(kind, name)
    try:
        return factory()
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{kind}:{name}() failed, {type(error).__name__}: {error}; it is called without "
            "arguments"
        ) from error


def _factory(kind: str, name: str) -> Callable[[], Any]:
    """A function of a Python file or module."""
    try:
        module = _file_module(Path(kind)) if kind.endswith(".py") else _module(kind)
    except FileNotFoundError:
        raise
    except Exception as error:  # somebody else's code may raise anything
        raise ValueError(
            f"{kind!r} cannot be imported, {type(error).__name__}: {error}; write {SPECS}"
        ) from error
    found = getattr(module, name, None)
    if not callable(found):
        functions = [n for n in vars(module) if callable(getattr(module, n)) and n[0] != "_"]
        raise ValueError(f"{kind!r} has no function {name!r}; it has {', '.join(functions[:8])}")
    made: Callable[[], Any] = found
    return made


def _module(name: str) -> Any:
    """A module by its dotted name, one in the current folder too, as with ``python -m``."""
    here = os.getcwd()
    if here in sys.path or "" in sys.path:
        return importlib.import_module(name)
    sys.path.append(here)
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(here)


def _file_module(path: Path) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {str(path)!r}")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None, "a file that ends in .py has a loader"
    assert spec.loader is not None, "a file that ends in .py has a loader"
    module = importlib.util.module_from_spec(spec)
    sys.modules.setdefault(path.stem, module)
    spec.loader.exec_module(module)
    return module
