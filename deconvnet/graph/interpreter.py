"""Run a model's nodes one by one; each value is freed after its last reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from .graph import Graph
from .node import Node, arguments, run_call

Run = Callable[[Node, dict[str, Any], Mapping[str, int]], Any]


def plain(graph: Graph) -> Run:
    """For ``execute``: every node by the model's own module, function or method."""

    def run(node: Node, values: dict[str, Any], readers: Mapping[str, int]) -> Any:
        return run_call(node, *arguments(node, graph.names, values))

    return run


def execute(
    graph: Graph, images: Tensor, nodes: Sequence[Node], run: Run
) -> Iterator[tuple[Node, Any]]:
    """Run nodes in order, yield each value, and free it after its last reader.

    ``run``: (node, values by name, how many more nodes read each value) -> the node's value.

    Raises:
        ValueError: the images do not fit the model; the message names the node.
    """
    values: dict[str, Any] = {}
    readers = Counter(source for node in nodes for source in node.sources)
    for node in nodes:
        given = _given(graph, images, node)
        try:
            value = run(node, values, readers) if given is None else given[0]
        except (RuntimeError, LookupError, TypeError, AttributeError) as error:
            if isinstance(error, torch.OutOfMemoryError):
                raise
            raise MisfitError(images, node, error) from error
        if any(value is other for other in values.values()) and isinstance(value, Tensor):
            value = value.view_as(value)  # nodes are told apart by their value's identity
        values[node.name] = value
        for name in node.sources:
            readers[name] -= 1
        for name in (*node.sources, node.name):
            if readers[name] <= 0:
                values.pop(name, None)
        yield node, value


def _given(graph: Graph, images: Tensor, node: Node) -> tuple[Any] | None:
    """The images, a default argument, a parameter, in a tuple; None for nodes that compute."""
    if node.call.op == "get_attr":
        return (graph.attribute(str(node.call.target)),)
    if node.call.op != "placeholder":
        return None
    if node.name == graph.input:
        return (images,)
    if not node.call.args:
        raise second_input(node.name)
    return (node.call.args[0],)


def second_input(name: str) -> ValueError:
    """The error for an argument beside the images that was not given."""
    return ValueError(
        f"the model takes a second input, {name!r}; wrap it in a module whose forward takes the "
        f"images alone, or say what it is for every image: DeconvNet(model, inputs={{{name!r}: …}})"
    )


class MisfitError(ValueError):
    """Images that a model cannot take: of another size, or with other channels.

    Args:
        images: the images.
        node: where the model stopped.
        error: what was raised there.
    """

    def __init__(self, images: Tensor, node: Node, error: Exception) -> None:
        super().__init__(_misfit(images, node, error))
        self.misfit = tuple(images.shape[1:])


def _misfit(images: Tensor, node: Node, error: Exception) -> str:
    reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
    return (
        f"images of shape {tuple(images.shape)} and type {images.dtype} do not fit the model: "
        f"it stopped at {node.name} ({node.kind}): {reason}"
    )
