"""The arguments of a model's forward: the images, those that are fixed, those that are missing."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from torch import nn

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def image_argument(model: nn.Module, inputs: Mapping[str, Any]) -> str:
    """The argument of ``forward`` that takes the images: the first one without a fixed value.

    Raises:
        ValueError: ``inputs`` names an argument that forward does not have, or all that it needs.
    """
    parameters = inspect.signature(model.forward).parameters
    named = [name for name, p in parameters.items() if p.kind in KEYWORDS]
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in inputs if name not in named and not anything]
    free = [name for name, p in parameters.items() if name not in inputs]
    needed = [name for name in named if parameters[name].default is inspect.Parameter.empty]
    # with all that forward needs given, the images would take the place of a default
    full = inputs and (not free or (free[0] in named and needed and set(needed) <= set(inputs)))
    if unknown or full:
        raise ValueError(
            f"inputs= was given for {', '.join(map(repr, unknown or inputs))}; the arguments of "
            f"{type(model).__name__}.forward are {', '.join(map(repr, named)) or 'none'}, of which "
            "one must be left to the images"
        )
    return free[0] if free else ""


def missing(model: nn.Module, inputs: Mapping[str, Any]) -> list[str]:
    """The arguments beside the images that ``forward`` needs and was not given."""
    images = image_argument(model, inputs)
    parameters = inspect.signature(model.forward).parameters
    return [
        name
        for name, p in parameters.items()
        if name != images and name not in inputs and p.kind in KEYWORDS and p.default is p.empty
    ]


def called(
    model: Callable[..., Any],
    images: Any,
    inputs: Mapping[str, Any],
    *,
    argument: str,
    forward: Callable[..., Any] | None = None,
) -> Any:
    """What a model gives for images, in this argument; ``inputs`` are {argument: value}.

    ``forward`` has the arguments; by default it is the model's own.
    """
    parameters = inspect.signature(forward or model.forward).parameters  # type: ignore[attr-defined]
    first = next(iter(parameters.values()), None)
    if first is None or (first.name == argument and first.kind is not first.KEYWORD_ONLY):
        return model(images, **inputs)
    return model(**{argument: images}, **inputs)
