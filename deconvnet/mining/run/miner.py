"""Run microbatches through a model's graph, and enter every layer's maxima into its table."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from functools import partial

from torch import Tensor

from deconvnet.data.samples import path_of
from deconvnet.graph.graph import Graph
from deconvnet.graph.hook_shapes import forget
from deconvnet.graph.kept_parameters import kept
from deconvnet.store.store import Failed

from .bad_images import check_failed
from .directions import Directed, Source
from .file_positions import Positions
from .job import Job
from .microbatches import Microbatch, activations, directed, groups_of, laid_out
from .part import FirstNaN, Part
from .readers import readers_die
from .tables import Tables


class Miner:
    """The tables of a run, by layer, filled microbatch by microbatch."""

    def __init__(self, job: Job) -> None:
        self.job = job
        self.tables = Tables(job.request)
        self.done: list[int] = []  # the numbers of the microbatches that are in the tables
        self.failed: dict[int, Failed] = {}
        self.first_nan: FirstNaN | None = None
        self._vectors = {Directed(n): v.tensor for n, v in job.request.directions.items()}
        self._graph: Graph | None = None

    def run(
        self,
        numbers: Sequence[int],
        *,
        after: Callable[[Miner], bool],
        failed: Mapping[int, Failed] | None = None,
    ) -> None:
        """Run microbatches until all are done, or ``after``, called after each, returns True.

        The readers have ended when this returns or raises. ``failed`` are the images, by index,
        that could not be read in earlier runs.
        """
        job = self.job
        feed = job.microbatches(groups_of(numbers, job.request.batch, job.request.images))
        positions = Positions() if job.workers else None
        with readers_die(), closing(feed), job.running():
            for batch in feed:
                if positions is not None:  # until now nobody else has read the data set
                    positions.check()
                    positions = None
                if batch.failed:
                    bad = {**(failed or {}), **self.failed, **self._failed(batch)}
                    rest, images = map(self._failed, feed), job.request.images
                    check_failed(bad, images, limit=job.limit, rest=rest)
                self._take(batch)
                if after(self):
                    return

    def _take(self, batch: Microbatch) -> None:
        """Run one microbatch; rows without an image enter no table."""
        if self._graph is not None or not self._compared(batch):
            self._run(batch)
        self.failed |= self._failed(batch)
        self.done.append(batch.number)

    def _compared(self, batch: Microbatch) -> bool:
        """Run the first microbatch, and the model beside the graph; whether that was all."""
        job, names = self.job, self.tables.nodes
        self._graph = job.graph
        if job.checked is None:
            return False
        images, drawn = self._laid_out(batch), self.tables.admit(batch.indices)
        if job.checked.run(images, names, partial(self._enter, batch, drawn)):
            return True
        self.tables, self.first_nan = Tables(job.request), None
        self._graph = job.checked.of(images, names, gradient=False)
        return False

    def _run(self, batch: Microbatch) -> None:
        names, drawn = self.tables.nodes, self.tables.admit(batch.indices)
        assert self._graph is not None, "it is that of the first microbatch"
        with kept(self._graph, self._graph.upto(names)):
            for name, values in activations(self._graph, self._laid_out(batch), names):
                self._enter(batch, drawn, name, values)

    def _laid_out(self, batch: Microbatch) -> Tensor:
        layout = str(self.job.request.attributes["layout"])
        return laid_out(batch.images.to(self.job.image.device), layout)

    def _enter(
        self, batch: Microbatch, drawn: tuple[list[int], list[int]], name: str, values: Tensor
    ) -> None:
        """Enter the activations of a node for a whole microbatch into its tables."""
        told = self.job.geometry.sizes[name][1:]
        if values.shape[1:] != told:
            forget(self.job.graphs.model)
            raise ValueError(
                f"the maps of {name} are {tuple(values.shape[1:])}, and were {tuple(told)} when "
                "the model was measured: a hook of it gives another size than before; mine again, "
                "it is measured anew"
            )
        self._take_in(name, batch.of_images(values), batch, drawn)
        for source, responses in directed(name, values, batch, self._vectors):
            self._take_in(source, responses, batch, drawn)

    def _take_in(
        self, source: Source, maps: Tensor, batch: Microbatch, drawn: tuple[list[int], list[int]]
    ) -> None:
        top = self.tables.tops.get(source)
        before = top.nans if top else 0
        self.tables.update(source, maps, batch.indices, drawn)
        if top and top.nans > before and self.first_nan is None:
            self._note(str(source), maps, batch)

    def _note(self, layer: str, maps: Tensor, batch: Microbatch) -> None:
        images = batch.indices[maps.isnan().flatten(1).any(1).cpu()].tolist()
        if self.job.request.attributes["nan_policy"] == "error":
            spoiled = batch.images[batch.rows].isnan().flatten(1).any(1)
            own = set(batch.indices[spoiled].tolist())
            cause = f"; the pixels of {sorted(own)} are NaN" if own else ", whose pixels are not"
            raise ValueError(
                f"activations of {layer} are NaN for images {images}{cause}; look at these images "
                "and at the weights, or leave such activations out with nan='skip'"
            )
        self.first_nan = FirstNaN(batch.number, layer, tuple(images))

    def _failed(self, batch: Microbatch) -> dict[int, Failed]:
        dataset = self.job.dataset
        return {i: Failed(i, path_of(dataset, i), why) for i, why in batch.failed.items()}

    def part(self, label: str, *, replaces: str = "") -> Part:
        """What is done so far, by the shard of this label."""
        kept = self.tables.kept()
        return Part(
            request=self.job.request,
            done=frozenset(self.done),
            failed=tuple(each for _, each in sorted(self.failed.items())),
            nan=self.first_nan,
            process=ascii(f"shard {label}, process {os.getpid()} on {socket.gethostname()}"),
            replaces=replaces,
            path=None,
            tables=self.tables,
            images={i: path_of(self.job.dataset, i) for i in sorted(kept)},
        )
