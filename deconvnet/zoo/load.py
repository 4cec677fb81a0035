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
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import known_preprocessing
from deconvnet.graph.frontends import Graphs

from .state_dicts import load_state_dict

RANDOM = ("zoo:zfnet", "zoo:allcnn")  # networks of papers, of which there are no weights
_CROPPED = 256 / 224  # the shorter side of a photograph by that of its crop
SPECS = f"torchvision:NAME, timm:NAME, zoo:NAME, {FORMS}"


@dataclass(frozen=True, eq=False)
class LoadedModel(Brief):
    """A model with its weights and preprocessing."""

    model: nn.Module  # in evaluation mode
    spec: str  # the word it was loaded by
    weights: str  # the file, or the name, of its weights; empty for none
    preprocessing: Prepares
    stated: bool = True  # by the user, the weights or the model; else it is the usual one
    shape: tuple[int, ...] = ()  # (channels, *size) of an image
    untrained: tuple[str, ...] = ()  # modules that the weights did not cover, still random

    def trained(self, layer: str) -> bool:
        """Whether a layer's own module was covered by the weights."""
        return not any(layer == name or layer.startswith(f"{name}.") for name in self.untrained)


def load(
    spec: str, weights: str | None = None, *, preprocessing: Mapping[str, Any] | None = None
) -> LoadedModel:
    """Build a model and load its weights.

    Args:
        spec: torchvision:NAME, timm:NAME, zoo:NAME, path/to/file.py:factory or
            package.module:factory.
        weights: a state dict (.pth, .pt, .safetensors), or torchvision's own by name: "DEFAULT",
            "IMAGENET1K_V1"; timm's: "DEFAULT". A file that covers only the lower part of the model
            is accepted, with a warning.
        preprocessing: fields that replace those of the model's own preprocessing: that of
            torchvision's weights, or what a factory's model states as its attribute
            ``preprocessing`` or timm's ``pretrained_cfg``; else the usual one (see ``usual``). See
            ``adapted`` for ``size``, ``mean`` and ``std``.

    Returns:
        The model, which then has its preprocessing, if one is stated, as ``model.preprocessing``.

    Raises:
        ValueError: no such model, weights that are not this model's, or a size, mean or std that
            does not fit it.
        FileNotFoundError: no such file.
    """
    kind, _, name = spec.rpartition(":")
    if not kind or not name:
        raise ValueError(f"{spec!r} is no model; write {SPECS}")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)  # what the weights leave random is the same every time
        model, own = _build(kind, name, weights)
    untrained: tuple[str, ...] = ()
    published = weights == "DEFAULT" and kind == "timm"
    if (
        weights is not None
        and not published
        and not (kind == "torchvision" and _named(name, weights))
    ):
        untrained = load_state_dict(model, weights)
    elif weights is None and (kind in ("torchvision", "timm") or spec in RANDOM):
        warnings.warn(
            f"{spec} has random weights; give --weights FILE, or, for the models of torchvision "
            "and timm, --weights DEFAULT",
            stacklevel=2,
        )
    changed = {key: value for key, value in (preprocessing or {}).items() if value is not None}
    prepared, shape = own, own.shape if own is not None else None
    if prepared is None or shape is None or changed:
        graphs = Graphs(model)
        channels, axes = graphs.channels, graphs.axes
        prepared = prepared or usual(channels, axes)
        prepared = adapted(prepared, changed, axes=axes) if changed else prepared
        shape = prepared.shape or (channels, *[224] * axes)
    stated = own is not None or "mean" in changed or "std" in changed
    if own is not None and getattr(model, "preprocessing", None) is None:
        model.preprocessing = prepared  # type: ignore[assignment]
    return LoadedModel(model.eval(), spec, weights or "", prepared, stated, shape, untrained)


def usual(channels: int, axes: int) -> Preprocessing:
    """The preprocessing of a model that states none.

    For images in three colours ImageNet's, 224 x 224; for others [0, 1] as it is, of 224 pixels,
    for videos 16 frames of 112 x 112.
    """
    if (channels, axes) == (3, 2):
        return Preprocessing.imagenet()
    size = {1: (224,), 2: (224, 224), 3: (16, 112, 112)}[axes]
    return Preprocessing(
        size, max(size) if axes == 2 else None, (0.0,) * channels, (1.0,) * channels
    )


def adapted(own: Prepares, changed: Mapping[str, Any], *, axes: int) -> Prepares:
    """A preprocessing with some of its fields replaced.

    Args:
        own: in whose place it comes.
        changed: the fields: ``size`` of the image with or without channels, (28,) for a square;
            ``mean`` and ``std`` with a number for each channel, or one for all; and any other.
        axes: of the size of the model's images.

    Raises:
        ValueError: a size of other axes, or numbers for other channels.
    """
    if not isinstance(own, Preprocessing):
        raise ValueError(
            f"{', '.join(changed)} cannot replace what {own.to_json()} does; change the "
            "preprocessing of the model"
        )
    given, channels = dict(changed), len(own.mean)
    if "size" in given:
        *before, size = _shape(tuple(given["size"]), axes)
        channels = before[0] if before else channels
        share = _CROPPED if (channels, axes) == (3, 2) else 1.0
        resize = round(share * max(size)) if axes == 2 else None
        given = {"resize": resize, **given, "size": size}
    for name, usually in (("mean", 0.0), ("std", 1.0)):
        numbers = tuple(given.get(name, getattr(own, name)))
        fits = len(numbers) in (1, channels)
        if name in given and not fits:
            raise ValueError(
                f"{len(numbers)} numbers were given as {name}, expected 1 or {channels}, one for "
                "each channel of the image"
            )
        given[name] = numbers * (channels // len(numbers)) if fits else (usually,) * channels
    return replace(own, **given)


def _shape(given: tuple[int, ...], axes: int) -> tuple[Any, ...]:
    """(size,) or (channels, size) of a size that was given with or without channels."""
    if len(given) == axes + 1:
        return given[0], given[1:]
    if len(given) not in (1, axes):
        names = {1: "512 or 1x512", 2: "28, 28x28 or 1x28x28", 3: "16x112x112 or 3x16x112x112"}
        raise ValueError(
            f"the size was {'x'.join(map(str, given))}, and the model's images have {axes} axes; "
            f"give {names[axes]}"
        )
    return (given * axes if len(given) == 1 else given,)


def _build(kind: str, name: str, weights: str | None) -> tuple[nn.Module, Prepares | None]:
    if kind == "torchvision":
        return _torchvision(name, weights)
    if kind == "timm":
        model = _timm(name, weights)
        return model, known_preprocessing(model=model)
    if weights == "DEFAULT":
        raise ValueError(
            f"only torchvision: and timm: models have DEFAULT weights, {kind}:{name} has not"
        )
    if kind == "zoo":
        if name not in zoo.NAMES:
            raise ValueError(f"the zoo has no {name!r}; it has {', '.join(zoo.NAMES)}")
        return zoo.NAMES[name](), zoo.preprocessing(name)
    model = made_by(kind, name)
    if not isinstance(model, nn.Module):
        raise ValueError(f"{kind}:{name} returned {type(model).__name__}, expected a torch module")
    return model, known_preprocessing(model=model)


def _timm(name: str, weights: str | None) -> nn.Module:
    """A model of the package timm, with its published weights if these are the DEFAULT."""
    try:
        import timm
    except ImportError as error:
        raise ImportError(
            f"timm:{name} is a model of the package timm, which is not installed here ({error}); "
            "run `pip install timm`"
        ) from error
    if not timm.is_model(name.partition(".")[0]):
        near = get_close_matches(name, timm.list_models(), n=4, cutoff=0.4)
        raise ValueError(f"timm has no {name!r}; the nearest are {', '.join(near) or 'none'}")
    try:
        model: nn.Module = timm.create_model(name, pretrained=weights == "DEFAULT")
    except (OSError, RuntimeError) as error:
        raise ValueError(
            f"timm's {name} could not be made ({error}); without a connection give a file with "
            "--weights FILE"
        ) from error
    return model


def _torchvision(name: str, weights: str | None) -> tuple[nn.Module, Preprocessing | None]:
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


def _preset(weights: Any) -> Preprocessing | None:
    """The preprocessing that torchvision's own weights of a model were trained with."""
    try:
        return Preprocessing.from_weights(weights)
    except ValueError:  # no weights, or of segmentation, detection, videos
        own: Any = None if weights is None else weights.transforms()
    if hasattr(own, "mean") and len(getattr(own, "crop_size", ())) == 2:
        return Preprocessing((16, *own.crop_size), None, tuple(own.mean), tuple(own.std))
    return None if own is None else Preprocessing.imagenet()
