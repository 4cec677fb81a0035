"""What a forward leaves behind in its model, which is no part of what the model computes."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Set
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from deconvnet.graph.errors import UntraceableError
from deconvnet.graph.export import export
from deconvnet.graph.graph import Graph, trace
from deconvnet.graph.model_state import OWN, contents
from deconvnet.graph.observed_hooks import without_hooks_of
from deconvnet.graph.signatures import called, image_argument
from deconvnet.graph.user_call import Unguardable
from deconvnet.projection.check.module_calls import untouched


@contextmanager
def called_before(graph: Graph, image: Tensor) -> Iterator[tuple[Graph, Set[str]]]:
    """A model while its caches are filled: its graph then, and what changes from call to call.

    So it does not matter whether it had been called before. What changes is given by path:
    buffers, and attributes of modules. Afterwards the model is as it was. Hooks do not see it.
    """
    for guarded in (True, False):
        try:
            with untouched(graph.model, guarded=guarded):
                seen = _calls(graph, image)
                yield _read_again(graph, image, seen), _differing(seen)
                return
        except Unguardable:
            continue


def is_cache(value: Any) -> bool:
    """Whether an attribute is a dictionary of tensors, or one that nothing has been put into."""
    if not isinstance(value, dict):
        return False
    return not value or any(isinstance(one, Tensor) for one in value.values())


def _calls(graph: Graph, image: Tensor) -> list[dict[str, object]]:
    """What a model holds before its first call, after it, and after the second.

    No more than has been seen, if it cannot be called on this image.
    """
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(0)).to(image)
    argument = image_argument(graph.model, graph.inputs)
    seen = [_held(graph)]
    with torch.no_grad(), without_hooks_of(graph.model):
        for _ in range(2):
            try:
                called(graph.model, noise.clone(), graph.inputs, argument=argument)
            except Exception:  # of the model's own; it will be told where it is run in earnest
                break
            seen.append(_held(graph))
    return seen


def _held(graph: Graph) -> dict[str, object]:
    """Buffers and attributes by path: what tells them apart."""
    held: dict[str, object] = {}
    for path, module in graph.model.named_modules():
        own = {n: v for n, v in vars(module).items() if n not in OWN} | module._buffers
        for name, value in own.items():
            held[f"{path}.{name}".lstrip(".")] = _told(value)
    return held


def _told(value: object) -> object:
    if isinstance(value, Tensor):
        return contents(value)
    if isinstance(value, Mapping):
        return tuple((repr(key), _told(one)) for key, one in value.items())
    if isinstance(value, (list, tuple)):
        return tuple(map(_told, value))
    plain = isinstance(value, (bool, int, float, complex, str, bytes))
    return (type(value), value) if plain else id(value)


def _differing(seen: list[dict[str, object]]) -> set[str]:
    """What the second call has changed."""
    before, after = seen[-2:] if len(seen) > 2 else (seen[0], seen[0])
    return {name for name in after if name not in before or before[name] != after[name]}


def _read_again(graph: Graph, image: Tensor, seen: list[dict[str, object]]) -> Graph:
    """The graph as it is read now: where a cache is filled, it is a constant."""
    if graph.stopped is not None or len(seen) < 2:
        return graph
    try:
        if graph.reader == "torch.fx":
            return trace(graph.model, graph.inputs, graph.mirrors)
        if seen[0] == seen[1]:  # torch.export takes long
            return graph
        return export(graph.model, image, graph.inputs, graph.mirrors)
    except UntraceableError:
        return graph
