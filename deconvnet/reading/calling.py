"""A model called as its user would call it, with nothing left behind."""

from __future__ import annotations

import inspect
import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deconvnet.reading.evaluating import evaluation
from deconvnet.reading.tracing import left_as_it_was

KEYWORDS = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)


def image_argument(model: nn.Module, inputs: Mapping[str, Any]) -> str:
    """The argument of ``forward`` that takes the images: the first one without a fixed value.

    Raises:
        ValueError: ``inputs`` names an argument that forward does not have, or all that it has.
    """
    parameters = inspect.signature(model.forward).parameters
    named = [name for name, p in parameters.items() if p.kind in KEYWORDS]
    anything = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters.values())
    unknown = [name for name in inputs if name not in named and not anything]
    free = [name for name, p in parameters.items() if name not in inputs]
    if unknown or (inputs and not free):
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


def called(model: Any, images: Any, inputs: Mapping[str, Any], *, argument: str) -> Any:
    """What a model, or its forward, gives for images.

    Args:
        model: what is called.
        images: in the argument of this name.
        inputs: {argument: value} of the others.
        argument: see ``image_argument``.
    """
    function = getattr(model, "forward", model)
    first = next(iter(inspect.signature(function).parameters), argument)
    if first == argument:
        return model(images, **inputs)
    return model(**{argument: images}, **inputs)


@contextmanager
def without_traces(model: nn.Module) -> Iterator[None]:
    """Evaluation mode for a while; afterwards random numbers, buffers and attributes are as before.

    Meanwhile the buffers are copies, so that those of the model are never written into.
    """
    states = random.getstate(), np.random.get_state()  # noqa: NPY002
    devices = {p.device for p in model.parameters() if p.device.type == "cuda"}
    copies: dict[int, Tensor] = {}
    with torch.random.fork_rng(devices), left_as_it_was(model), evaluation(model):
        for module in model.modules():
            for name, buffer in module._buffers.items():
                if buffer is not None:
                    copy = copies.setdefault(id(buffer), buffer.detach().clone())
                    module._buffers[name] = copy
        try:
            yield
        finally:
            random.setstate(states[0])
            np.random.set_state(states[1])  # noqa: NPY002
