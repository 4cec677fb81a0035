"""One mining run, ready to be worked on: the model, the data set, and what was asked of them."""

from __future__ import annotations

import json
import os
import platform
import socket
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import h5py
import torch
from torch import Tensor, nn

import deconvnet
from deconvnet.arguments import integer, listed
from deconvnet.data import Preprocessing
from deconvnet.data.samples import path_of
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.mining import fingerprint
from deconvnet.projection.check.checked_graphs import Checked, settled
from deconvnet.projection.forward import Recording
from deconvnet.projection.geometry import geometry_of
from deconvnet.store.format import check_attributes
from deconvnet.store.store import Failed

from .bad_images import DEFAULT, Limit, check_failed
from .blocks import to_ranges
from .dataset_facts import look
from .file_positions import Positions
from .memory_format import layout_for
from .microbatches import Microbatch, groups_of, microbatches
from .minable_layers import chosen
from .miner import Miner
from .part import Part
from .readers import ignore_interrupts, readers_die
from .request import Request

_PATIENCE = 20  # the work between two checkpoints takes at least so many times as long as one


@dataclass(frozen=True, eq=False)
class Job:
    """A run that has not begun.

    Args:
        graph: the model's, for microbatches.
        geometry: the sizes and fields of its nodes.
        dataset: map-style.
        image: one image, for its size and precision, (1, channels, *size).
        request: what the tables will depend on.
        workers: processes that read images ahead.
        signals: what these do about signals, see ``readers.reading``.
        limit: how many images may be unreadable.
        checked: holds the graph against the model, on the first microbatch.
    """

    graph: Graph
    geometry: Recording
    dataset: Any
    image: Tensor
    request: Request
    workers: int
    signals: Callable[[int], None]
    limit: Limit
    checked: Checked | None

    @classmethod
    def of(
        cls,
        model: nn.Module,
        dataset: Any,
        *,
        layers: str | nn.Module | Sequence[str | nn.Module] | None,
        k: int,
        batch_size: int,
        nan: str,
        threads: int | None,
        told: Mapping[str, str],
        workers: int,
        strict: bool,
        max_bad: str | float = DEFAULT,
        signals: Callable[[int], None] = ignore_interrupts,
        check: bool = True,
    ) -> Job:
        """Look at the model and at the first image; see ``mine`` for what is raised.

        Args:
            model: any module that takes images.
            dataset: map-style.
            layers: node names or modules; None for the usual ones.
            k: images kept for each channel.
            batch_size: of a microbatch, at most the data set.
            nan: "skip" or "error".
            threads: of the CPU; None for as many as PyTorch is set to.
            told: what the caller says of model, weights, data set and transform.
            workers: processes that read images ahead.
            strict: stop at the first unreadable image.
            max_bad: how many images may be unreadable, else.
            signals: what readers do about signals, see ``readers.reading``.
            check: hold the graph against the model.
        """
        if integer("workers", workers) < 0:
            raise ValueError(f"workers={workers} was given, expected 0 or more processes")
        if nan not in ("skip", "error"):
            raise ValueError(f"nan was {nan!r}; use 'skip' or 'error'")
        graphs = Graphs(model)
        held = Checked.if_asked(graphs, check)
        seen = look(dataset, workers, signals)
        image = seen.image
        one = blank(model, image.shape, like=image)
        some = layers if layers is None else listed(layers, str, nn.Module)
        graph = settled(graphs, one, some) if check else graphs.of(one)
        told = _provenance(graph, dataset, told) | {"dataset_fingerprint": seen.fingerprint}
        geometry = geometry_of(graph, one)
        names = chosen(graph, geometry, some)
        batch_size = min(batch_size, len(dataset))  # a few images need not be padded to many
        attributes = {
            **told,
            "k": k,
            "input_size": list(image.shape[1:]),
            "batch_shape": [batch_size, *image.shape],
            "dtype": str(one.dtype).removeprefix("torch."),
            "device": one.device.type,  # not its number, which differs from process to process
            "layout": layout_for(graph, one),
            "nan_policy": nan,
        }
        if one.device.type == "cpu":  # large sums are cut up by threads, which shows in last bits
            attributes["threads"] = threads or torch.get_num_threads()
        check_attributes(attributes)
        channels = {name: geometry.sizes[name][1] for name in names}
        running = graphs.of(one.expand(batch_size, *image.shape))
        request = Request(attributes, len(dataset), channels)
        limit = Limit(max_bad, strict)
        return cls(running, geometry, dataset, one, request, workers, signals, limit, held)

    def like(self, parts: Sequence[Part]) -> Job:
        """This job with as many threads as parts of it were begun with, if they agree."""
        threads, *others = {str(part.request.attributes.get("threads")) for part in parts} or {""}
        if others or not threads.isdecimal() or "threads" not in self.request.attributes:
            return self
        attributes = {**self.request.attributes, "threads": max(1, int(threads))}
        return replace(self, request=replace(self.request, attributes=attributes))

    @property
    def graph_now(self) -> Graph:
        """The graph that mines: the first microbatch may have shown that another is the model."""
        if self.checked is None:
            return self.graph
        return self.checked.graphs.of(self.image.expand(self.request.batch, *self.image.shape[1:]))

    def start(self) -> Miner:
        """Empty tables."""
        return Miner(
            self.graph,
            self.geometry,
            list(self.request.channels),
            k=self.request.k,
            nan=str(self.request.attributes["nan_policy"]),
            layout=str(self.request.attributes["layout"]),
            checked=self.checked,
        )

    def run(
        self,
        miner: Miner,
        numbers: Sequence[int],
        *,
        failed: Mapping[int, str],
        after: Callable[[Miner], bool],
    ) -> None:
        """Take microbatches until all are done, or ``after`` each says that it is enough.

        The readers have ended when this returns or raises.

        Args:
            miner: the tables.
            numbers: which microbatches.
            failed: {index: reason} of images that could not be read in earlier runs.
            after: called after every microbatch; true: stop here.

        Raises:
            ValueError: too many images are unreadable, or do not fit; or the readers share a file.
        """
        feed = microbatches(
            self.dataset,
            self.request.batch,
            size=tuple(self.image.shape[1:]),
            dtype=self.image.dtype,
            workers=self.workers,
            groups=groups_of(numbers, self.request.batch, self.request.images),
            signals=self.signals,
        )
        positions = Positions() if self.workers else None
        with readers_die(), closing(feed), self.running():
            for batch in feed:
                if positions is not None:  # until now nobody else has read the data set
                    positions.check()
                    positions = None
                if batch.failed:
                    self.check_failed({**failed, **miner.failed, **batch.failed}, rest=feed)
                miner.take(batch, self.image.device)
                if after(miner):
                    return

    def check_failed(
        self, failed: Mapping[int, str], *, rest: Iterable[Microbatch] | None = None
    ) -> None:
        """Stop if too many images are unreadable; see ``failures.check_failed``."""
        name = partial(path_of, self.dataset)
        check_failed(failed, self.request.images, limit=self.limit, name=name, rest=rest)

    @contextmanager
    def running(self) -> Iterator[None]:
        """The model in evaluation, without gradients, with the number of threads of this run."""
        threads = self.request.attributes.get("threads")
        with torch.no_grad(), evaluation(self.graph.model), threads_of_cpu(threads):
            yield

    def part(self, miner: Miner, label: str, *, replaces: str = "") -> Part:
        """What a miner has done so far.

        Args:
            miner: its tables.
            label: of the shard.
            replaces: the mark of the file that the store is to replace.
        """
        return Part(
            request=self.request,
            done=to_ranges(miner.done),
            failed=tuple(
                Failed(i, path_of(self.dataset, i), why) for i, why in sorted(miner.failed.items())
            ),
            nan=miner.first_nan,
            process=ascii(f"shard {label}, process {os.getpid()} on {socket.gethostname()}"),
            replaces=replaces,
            path=None,
            tops=miner.tops,
            images={i: path_of(self.dataset, i) for i in sorted(miner.kept())},
        )


class Pace:
    """When the next checkpoint is due, so that they take a small share of the time."""

    def __init__(self, every: float) -> None:
        self.every = every
        self._last = time.monotonic()  # the time of day may jump
        self._cost = 0.0

    def due(self) -> bool:
        """Whether it is time."""
        slow = min(_PATIENCE * self._cost, _PATIENCE * self.every)
        return time.monotonic() - self._last >= max(self.every, slow)

    def saved(self, began: float) -> None:
        """A checkpoint has been written; it began at this ``time.monotonic()``."""
        self._last = time.monotonic()
        self._cost = self._last - began


def images_in(numbers: Iterable[int], request: Request) -> int:
    """How many images of the data set these microbatches hold."""
    batch, images = request.batch, request.images
    return sum(min((n + 1) * batch, images) - n * batch for n in numbers)


def _provenance(graph: Graph, dataset: Any, told: Mapping[str, str]) -> dict[str, Any]:
    versions = {
        "deconvnet": deconvnet.__version__,
        "h5py": h5py.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return {
        "model": told.get("model") or type(graph.model).__name__,
        "weights": told.get("weights", ""),
        "model_fingerprint": fingerprint.of_model(graph),
        "dataset": told.get("dataset") or type(dataset).__name__,
        "transform": told.get("transform") or _transform(dataset),
        "versions": json.dumps(versions, sort_keys=True),
    }


def _transform(dataset: Any) -> str:
    """What the data set does to photographs, if it is one of ours."""
    own = getattr(dataset, "preprocessing", None)
    return own.to_json() if isinstance(own, Preprocessing) else ""
