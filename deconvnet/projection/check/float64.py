"""Repeat a comparison of graph and model in float64 where a lower precision is inconclusive."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from deconvnet.graph.graph import Graph

from .against_model import Comparison, Row, compare

IMAGES = 2  # of a batch are compared where gradients are, which takes the memory of training;
# and in float64, of those that differ most somewhere
COARSE = 1e-2  # a difference that is none of rounding, where float64 cannot be asked


def compared(
    graph: Graph, images: Tensor, seeds: Sequence[str] | None
) -> tuple[Comparison, Tensor]:
    """The comparison, in float64 where the images' precision leaves it open, and its images."""
    some = images if seeds is None or graph.batch else images[:IMAGES]
    result = compare(graph, some, graph.inputs, seeds=seeds)
    if result.error is not None and len(some) < len(images):  # it may count the images
        some = images
        result = compare(graph, some, graph.inputs, seeds=seeds)
    if not result.wrong or images.dtype == torch.float64 or result.stopped is not None:
        return result, some
    rows = [row.image or 0 for row in sorted(result.wrong, key=lambda row: -row.difference)]
    worst = list(dict.fromkeys(row for row in rows if row < len(some)))[:IMAGES]
    few = some if graph.batch else some[worst or [0]]
    try:
        exact = compare(_in_double(graph), few.double(), _doubled(graph.inputs), seeds=seeds)
    except Exception:  # the model cannot be copied
        exact = Comparison(error="it cannot be copied")
    if exact.stopped is not None or (exact.error and not result.error):  # nor run in float64
        coarse = [row if row.difference > COARSE else _accepted(row) for row in result.rows]
        return replace(result, rows=coarse), some
    return replace(exact, traces=result.traces, guarded=result.guarded), some


def _accepted(row: Row) -> Row:
    return Row(row.name, row.kind, row.difference, ok=True)


def _in_double(graph: Graph) -> Graph:
    """The same graph of a copy of the model in float64."""
    model = copy.deepcopy(graph.model).double()
    return graph.over(model, {path: _doubled(value) for path, value in graph.constants.items()})


def _doubled(value: Any) -> Any:
    if isinstance(value, Tensor) and value.is_floating_point():
        return value.double()
    if isinstance(value, Mapping):
        return {name: _doubled(one) for name, one in value.items()}
    return value
