"""Load a model by a word, with its weights and preprocessing."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import torch
from torch import nn

from deconvnet import zoo
from deconvnet.arguments import Brief
from deconvnet.data import Preprocessing
from deconvnet.data.factories import FORMS, made_by

from .state_dicts import load_state_dict

RANDOM = ("zoo:zfnet", "zoo:allcnn")  # networks of papers, of which there are no weights
SPECS = f"torchvision:NAME, zoo:NAME, {FORMS}"


@dataclass(frozen=True, eq=False)
class LoadedModel(Brief):
    """A model with its weights and preprocessing."""

    model: nn.Module  # in evaluation mode
    spec: str  # the word it was loaded by
    weights: str  # the file, or the name, of its weights; empty for none
    preprocessing: Preprocessing
    untrained: tuple[str, ...] = ()  # modules that the weights did not cover, still random

    def trained(self, layer: str) -> bool:
        """Whether a layer's own module was covered by the weights."""
        return not any(layer == name or layer.startswith(f"{name}.") for name in self.untrained)


def load(
    spec: str, weights: str | None = None, *, preprocessing: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Build a model and load its weights.

    Args:
        spec: torchvision:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory.
        weights: a state dict (.pth, .pt, .safetensors), or torchvision's own by name: "DEFAULT",
            "IMAGENET1K_V1". A file that covers only the lower part of the model is accepted, with
            a warning.
        preprocessing: fields that replace those of the model's own preprocessing: that of
            torchvision's weights, or the attribute ``preprocessing`` of a factory's model; else
            ImageNet's usual one.

    Raises:
        ValueError: no such model, or weights that are not this model's.
        FileNotFoundError: no such file.
    """
    kind, _, name = spec.rpartition(":")
    if not kind or not name:
        raise ValueError(f"{spec!r} is no model; write {SPECS}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what the weights leave random is the same every time
        model, own = _build(kind, name, weights)
    untrained: tuple[str, ...] = ()
    if weights is not None and not (kind == "torchvision" and _named(name, weights)):
        untrained = load_state_dict(model, weights)
    elif weights is None and (kind == "torchvision" or spec in RANDOM):
        warnings.warn(
            f"{spec} has random weights; give --weights FILE, or, for torchvision's models, "
            "--weights DEFAULT",
            stacklevel=2,
        )
    changed = {key: value for key, value in (preprocessing or {}).items() if value is not None}
    return LoadedModel(model.eval(), spec, weights or "", replace(own, **changed), untrained)


def _build(kind: str, name: str, weights: str | None) -> tuple[nn.Module, Preprocessing]:
    if kind == "torchvision":
        return _torchvision(name, weights)
    if weights == "DEFAULT":
        raise ValueError(f"only torchvision: models have DEFAULT weights, {kind}:{name} has not")
    if kind == "zoo":
        if name not in zoo.NAMES:
            raise ValueError(f"the zoo has no {name!r}; it has {', '.join(zoo.NAMES)}")
        return zoo.NAMES[name](), zoo.preprocessing(name)
    model = made_by(kind, name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{kind}:{name} returned {type(model).__name__}, expected a torch module")
    stated = getattr(model, "preprocessing", None)
    return model, stated if isinstance(stated, Preprocessing) else Preprocessing.imagenet()


def _torchvision(name: str, weights: str | None) -> tuple[nn.Module, Preprocessing]:
    from torchvision import models

    known = models.list_models()
    if name not in known:
        near = get_close_matches(name, known, n=4, cutoff=0.4)
        raise ValueError(f"torchvision has no {name!r}; the nearest are {', '.join(near) or known}")
    own = _named(name, weights)  # a file is loaded afterwards
    try:
        model: nn.Module = models.get_model(name, weights=own)
    except OSError as error:
        raise ValueError(
            f"torchvision's weights of {name} could not be downloaded ({error}); give a file with "
            "--weights FILE"
        ) from error
    return model, _preset(own or _named(name, "DEFAULT"))


def _named(name: str, weights: str | None) -> Any:
    """Torchvision's own weights of a model, if they have this name; else None."""
    from torchvision import models

    return models.get_model_weights(name).__members__.get(weights or "")


def _preset(weights: Any) -> Preprocessing:
    """The preprocessing that torchvision's own weights of a model were trained with."""
    try:
        return Preprocessing.from_weights(weights)
    except ValueError:  # no weights, or of segmentation, detection, videos
        return Preprocessing.imagenet()
