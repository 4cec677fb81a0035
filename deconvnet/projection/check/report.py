"""Report how the values of a graph compare with those of its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from deconvnet.arguments import Brief
from deconvnet.graph.errors import NotTheModel
from deconvnet.graph.frontends import Graphs
from deconvnet.graph.model_state import refuse_inference
from deconvnet.graph.modes import plain
from deconvnet.projection.inputs import accepted

from .against_model import Row
from .checked_graphs import Checked
from .float64 import compared


@dataclass(frozen=True)
class ModelReport(Brief):
    """The comparison of a graph with its model.

    Args:
        reader: "torch.fx" or "torch.export", which read the graph.
        rows: one for every value that was compared, in forward order; the model's output and the
            gradient at the images last.
        error: what the model itself raised, if it did.
    """

    reader: str
    rows: tuple[Row, ...]
    error: str | None = None

    @property
    def ok(self) -> bool:
        """Whether the graph is the model."""
        return self.error is None and all(row.ok for row in self.rows)

    def __str__(self) -> str:
        cells = [("node", "kind", "difference", ""), *map(_cells, self.rows)]
        widths = [max(len(row[i]) for row in cells) for i in range(3)]
        lines = [
            "  ".join((*(c.ljust(w) for c, w in zip(row, widths, strict=False)), row[3])).rstrip()
            for row in cells
        ]
        told = f"{sum(row.ok for row in self.rows)} of {len(self.rows)} values agree"
        end = f"{told}; read by {self.reader}; difference: relative, of the L2 norm"
        return "\n".join([*lines, "", end if self.error is None else f"{end}; {self.error}"])


def _cells(row: Row) -> tuple[str, str, str, str]:
    wrong = f"DIFFERS: {row.actual}, the model gives {row.expected}"
    return row.name, row.kind, f"{row.difference:.1e}", "ok" if row.ok else wrong


@plain()
def check_model(
    model: nn.Module,
    images: Tensor,
    *,
    inputs: Mapping[str, Any] | None = None,
    mirrors: Mapping[Any, Any] | None = None,
) -> ModelReport:
    """Compare the graph of a model with the model itself, as ``DeconvNet`` does by itself.

    Values are compared wherever the output of a module is a node, and at the outputs; and one
    random signal is carried to the images by the mirror under "gradient" and by autograd.

    Args:
        model: any module that takes images.
        images: (batch, channels, *size), preprocessed; two of them are looked at.
        inputs: {argument: value} of the arguments of forward beside the images.
        mirrors: as for ``DeconvNet``.

    Returns:
        A report, also where there are differences; ``str`` of it is a table.

    Raises:
        UntraceableError: no graph can be read.
        ValueError: the images do not fit.

    Examples:
        >>> import torch
        >>> check_model(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), torch.rand(2, 3, 8, 8)).ok
        True
    """
    graphs = Graphs(model, inputs, mirrors)
    images = accepted(images, graphs)
    refuse_inference(graphs.model)
    try:
        graph = Checked(graphs).of(images, None)
    except NotTheModel:
        graph = graphs.of(images)
    result, _ = compared(graph, images, ())
    return ModelReport(graph.reader, tuple(result.rows), result.error)
