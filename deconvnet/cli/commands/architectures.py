"""``deconvnet architectures``: the first two layers of several models, beside each other."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from deconvnet.arguments import expanded
from deconvnet.net import DeconvNet
from deconvnet.studies.architectures import architectures

from . import check, finished, load_model, policies, warn_of_usual


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Load the models, find what excites each most, draw and save."""
    models = _named("MODEL", "MODEL", options.models)
    weights = _named("--weights", "FILE", options.weights or ())
    unknown = [name for name in weights if name not in models]
    if unknown:
        raise ValueError(
            f"--weights names {', '.join(unknown)}, expected one of {', '.join(models)}"
        )
    check(options)
    nets = {name: _net(options, spec, weights.get(name)) for name, spec in models.items()}
    result = architectures(nets, options.data, radius=options.radius)
    files = ", ".join(f"{name}={Path(file).name}" for name, file in weights.items())
    return finished(result, options, {"model": ", ".join(options.models), "weights": files})


def _named(option: str, kind: str, given: Sequence[str]) -> dict[str, str]:
    """{NAME: what it stands for}."""
    pairs = [text.partition("=") for text in given]
    for text, (name, equals, value) in zip(given, pairs, strict=True):
        if not (name and equals and value):
            raise ValueError(f"{option} was {text!r}, expected NAME={kind}")
    names = [name for name, _, _ in pairs]
    if len(set(names)) != len(names):
        raise ValueError(f"{option} has the names {', '.join(names)}; give each once")
    return {name: expanded(value) for name, _, value in pairs}


def _net(options: argparse.Namespace, spec: str, weights: str | None) -> DeconvNet:
    loaded = load_model(argparse.Namespace(**{**vars(options), "model": spec, "weights": weights}))
    warn_of_usual(loaded)
    return DeconvNet(
        loaded.model,
        policies(options.rectifier, options),
        input_size=loaded.shape,
        preprocessing=loaded.preprocessing,
    )
