"""A mining run before it starts: model, data set and settings, checked against each other."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import h5py
import torch
from torch import Tensor, nn

from deconvnet.arguments import integer, listed
from deconvnet.data.resolve import UNKNOWN, preprocessing_of_data
from deconvnet.data.samples import check_map_style, check_repeatable, first_image
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.mining import fingerprint
from deconvnet.projection.check.checked_graphs import Checked, settled
from deconvnet.projection.forward import geometry_of
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import MAX, RANKS, check_attributes

from .bad_images import Limit
from .directions import checked_directions, directions_in
from .file_positions import Positions
from .lowest_of import lowest_of
from .microbatches import Microbatch, layout_for, microbatches
from .minable_layers import chosen
from .part import Part
from .processors import usable_threads, warn_of_readers
from .readers import ask, ignore_interrupts
from .request import Request

_INTEGERS = ("k", "lowest", "sample", "random_state", "batch_size", "threads", "workers")


@dataclass(frozen=True)
class Settings:
    """The settings of a run: arguments of ``mine``, which explains them, checked here."""

    k: int
    batch_size: int
    lowest: int = 0
    sample: int = 0
    rank: str = MAX
    random_state: int = 0
    nan: str = "skip"
    threads: int | None = None
    workers: int = 0
    limit: Limit = Limit()
    check: bool = True
    directions: Mapping[str | nn.Module, Any] | None = None

    def __post_init__(self) -> None:
        for name in _INTEGERS:
            if name != "threads" or self.threads is not None:
                object.__setattr__(self, name, integer(name, getattr(self, name)))
        if self.k < 1 or self.batch_size < 1:
            raise ValueError(
                f"k={self.k} and batch_size={self.batch_size} were given; both must be at least 1"
            )
        if self.threads is not None and self.threads < 1:
            raise ValueError(f"threads={self.threads} was given, expected at least 1")
        if self.workers < 0:
            raise ValueError(f"workers={self.workers} was given, expected 0 or more processes")
        if min(self.lowest, self.sample, self.random_state) < 0 or self.random_state >= 2**63:
            raise ValueError(
                f"lowest={self.lowest}, sample={self.sample} and random_state={self.random_state} "
                "were given, expected 0 or more"
            )
        if self.rank not in RANKS:
            raise ValueError(f"rank was {self.rank!r}; use 'max' or 'mean'")
        if self.nan not in ("skip", "error"):
            raise ValueError(f"nan was {self.nan!r}; use 'skip' or 'error'")
        object.__setattr__(self, "directions", checked_directions(self.directions))


@dataclass(frozen=True, eq=False)
class Job:
    """A run, ready to start."""

    graphs: Graphs
    geometry: Geometry
    dataset: Any
    image: Tensor  # (1, channels, *size), of any content: for size, precision and device
    request: Request
    workers: int
    signals: Callable[[int], None]  # see ``readers.reading``
    limit: Limit
    checked: Checked | None  # compares the graph with the model, on the first microbatch

    @classmethod
    def of(
        cls,
        model: nn.Module,
        dataset: Any,
        layers: str | nn.Module | Sequence[str | nn.Module] | None,
        *,
        settings: Settings,
        told: Mapping[str, str],
        signals: Callable[[int], None] = ignore_interrupts,
    ) -> Job:
        """Look at the model and at the first image; see ``mine`` for what is raised.

        ``told`` is what the caller says of model, weights, data set and transform.
        """
        warn_of_readers(settings.workers)
        graphs = Graphs(model)
        held = Checked.if_asked(graphs, settings.check)
        image, data_fingerprint = _looked_at(dataset, settings.workers, signals)
        one = blank(model, image.shape, like=image)
        some = layers if layers is None else listed(layers, str, nn.Module)
        graph = settled(graphs, one, some) if settings.check else graphs.of(one)
        told = _provenance(graph, one, dataset, told) | {"dataset_fingerprint": data_fingerprint}
        geometry = geometry_of(graph, one)
        names = chosen(graph, geometry, some)
        batch = min(settings.batch_size, len(dataset))  # a few images need not be padded to many
        attributes = {
            **told,
            "k": settings.k,
            "lowest": settings.lowest,
            "sample": settings.sample,
            "random_state": settings.random_state if settings.sample else 0,
            "rank": settings.rank,
            "input_size": list(image.shape),
            "batch_shape": [batch, *image.shape],
            "dtype": str(one.dtype).removeprefix("torch."),
            "device": one.device.type,  # not its number, which differs from process to process
            "layout": layout_for(graph, one),
            "nan_policy": settings.nan,
        }
        if one.device.type == "cpu":  # large sums are cut up by threads, which shows in last bits
            attributes["threads"] = settings.threads or usable_threads()
        check_attributes(attributes)
        channels = {name: geometry.sizes[name][1] for name in names}
        sources = {name: lowest_of(geometry, name) for name in names if settings.lowest}
        vectors = directions_in(graph, settings.directions or {}, channels, dtype=one.dtype)
        graphs.of(one.expand(batch, *image.shape))  # a batch that cannot be traced is told now
        return cls(
            graphs=graphs,
            geometry=geometry,
            dataset=dataset,
            image=one,
            request=Request(attributes, len(dataset), channels, sources, vectors),
            workers=settings.workers,
            signals=signals,
            limit=settings.limit,
            checked=held,
        )

    def like(self, parts: Sequence[Part]) -> Job:
        """This job with the number of threads of its parts, if they agree."""
        threads, *others = {str(part.request.attributes.get("threads")) for part in parts} or {""}
        if others or not threads.isdecimal() or "threads" not in self.request.attributes:
            return self
        attributes = {**self.request.attributes, "threads": max(1, int(threads))}
        return replace(self, request=replace(self.request, attributes=attributes))

    @property
    def graph(self) -> Graph:
        """The graph of a microbatch; the first one may show that another graph is the model."""
        return self.graphs.of(self.image.expand(self.request.batch, *self.image.shape[1:]))

    def microbatches(
        self, groups: Iterable[Sequence[int]], *, workers: int | None = None
    ) -> Generator[Microbatch, None, None]:
        """Read groups of images as microbatches, by default with all readers of the run."""
        return microbatches(
            self.dataset,
            self.request.batch,
            size=tuple(self.image.shape[1:]),
            dtype=self.image.dtype,
            layout=str(self.request.attributes["layout"]),
            workers=self.workers if workers is None else workers,
            groups=groups,
            signals=self.signals,
        )

    @contextmanager
    def running(self) -> Iterator[None]:
        """Evaluation mode, no gradients, and the number of threads of this run."""
        threads = self.request.attributes.get("threads")
        with torch.no_grad(), evaluation(self.graphs.model), threads_of_cpu(threads):
            yield


def _look(dataset: Any) -> tuple[Tensor, str]:
    """The first image that can be read, and the fingerprint; a few images are read twice."""
    image = first_image(dataset)
    check_repeatable(dataset)
    return image, fingerprint.of_dataset(dataset)


def _looked_at(dataset: Any, workers: int, signals: Callable[[int], None]) -> tuple[Tensor, str]:
    """Call ``_look``, in a reader if readers will be started.

    So a data set that opens its file when it is first read opens it in each reader.
    """
    check_map_style(dataset)
    if not workers:
        return _look(dataset)
    len(dataset)  # which this process may ask for: if it opens a file, then now
    positions = Positions()
    answer = ask(_look, dataset, signals=signals)
    positions.check()
    return answer


def _provenance(
    graph: Graph, image: Tensor, dataset: Any, told: Mapping[str, str]
) -> dict[str, Any]:
    versions = {
        "deconvnet": version("deconvnet"),
        "h5py": h5py.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    own = preprocessing_of_data(dataset)
    return {
        "model": told.get("model") or type(graph.model).__name__,
        "weights": told.get("weights", ""),
        "model_fingerprint": fingerprint.of_model(graph, image),
        "dataset": told.get("dataset") or type(dataset).__name__,
        "transform": told.get("transform") or (own.to_json() if own else UNKNOWN),
        "versions": json.dumps(versions, sort_keys=True),
    }
