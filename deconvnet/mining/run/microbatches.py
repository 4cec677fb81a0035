"""Read and run a data set as padded microbatches; image i occupies row ``i % batch``."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from deconvnet.data.samples import checked, lent_item
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooks_see
from deconvnet.graph.interpreter import execute, plain
from deconvnet.graph.kept_parameters import run_kept
from deconvnet.graph.modes import evaluation, threads_of_cpu
from deconvnet.layers.crop import layout as layout_of
from deconvnet.projection.seeds import responses

from .directions import Directed, Source
from .readers import Handed, ignore_interrupts, reading

CONTIGUOUS, CHANNELS_LAST = "contiguous", "channels_last"


@dataclass(frozen=True, eq=False)
class Microbatch:
    """The unit of work: images in one forward pass, always of the same batch shape.

    The last bits of an activation depend on the shape of the batch, and on some processors on the
    row of the image in it: a matrix product uses other instructions for rows of other alignment.
    So image i always occupies row ``i % batch``, in whichever process, beside whichever images.
    """

    number: int  # of the microbatch that its first image belongs to
    images: Tensor  # (batch, channels, *size), the full batch; rows without an image are zero
    rows: Tensor  # (good,) the rows that hold an image, ascending
    indices: Tensor  # (good,) int64, the index of each of them in the data set
    failed: dict[int, str]  # {index: reason} of the images that could not be read

    def of_images(self, values: Tensor) -> Tensor:
        """The rows (good, …) that hold an image, of what a layer gives for the whole batch."""
        if len(self.rows) == len(self.images):
            return values
        return values[self.rows.to(values.device)]


def microbatches(
    dataset: Any,
    batch_size: int,
    *,
    size: tuple[int, ...],
    dtype: torch.dtype,
    layout: str = CONTIGUOUS,
    workers: int = 0,
    groups: Iterable[Sequence[int]] | None = None,
    signals: Callable[[int], None] = ignore_interrupts,
) -> Generator[Microbatch, None, None]:
    """Read a data set as microbatches; closing the generator ends the readers.

    Args:
        dataset: map-style; an item is a tensor (channels, *size), or a tuple that starts with one.
        batch_size: rows of every microbatch.
        size: (channels, *size) of one image.
        dtype: what the model takes.
        layout: of the images in memory, which changes no value; see ``layout_for``.
        workers: processes that read ahead; what they read does not depend on how many they are.
        groups: the images of each microbatch, ascending, no two of them of one row (``groups_of``,
            ``by_row``); by default the whole data set in order.
        signals: what a reader does about signals; see ``reading``, also for errors.
    """
    if groups is None:
        total = len(dataset)
        groups = groups_of(range(-(-total // batch_size)), batch_size, total)
    made = _Made(dataset, (batch_size, *size), dtype=dtype, layout=layout)
    with reading(made, groups, workers=workers, signals=signals) as batches:
        for batch in batches:
            if isinstance(batch, Exception):
                raise batch
            yield batch


def groups_of(numbers: Iterable[int], batch_size: int, total: int) -> Iterator[range]:
    """The images of the microbatches with these numbers, of a data set of ``total`` images."""
    for number in numbers:
        yield range(number * batch_size, min((number + 1) * batch_size, total))


def by_row(images: Iterable[int], batch_size: int) -> list[list[int]]:
    """Any images in as few groups as possible, each in the row that it was mined in.

    Images whose indices differ by a multiple of the batch size need groups of their own.
    """
    groups: list[list[int]] = []
    taken = [0] * batch_size  # how many groups have an image in this row
    for image in sorted(images):
        place = taken[image % batch_size]
        if place == len(groups):
            groups.append([])
        groups[place].append(image)
        taken[image % batch_size] += 1
    return groups


class _Made(Handed):
    """Microbatches, each made by the process that reads its images.

    A process then sends one tensor: for single images, several processes would open more files
    than most systems allow. Every image is copied into its row before the next is read: some data
    sets fill one tensor again and again.
    """

    def __init__(
        self, dataset: Any, shape: tuple[int, ...], *, dtype: torch.dtype, layout: str
    ) -> None:
        super().__init__(dataset)
        self.shape, self.dtype = shape, dtype
        self.format = _format_of(layout)

    def __getitem__(self, group: Sequence[int]) -> Microbatch | Exception:
        with threads_of_cpu(1):  # for the whole group, see ``lent_item``
            return self._of(group)

    def _of(self, group: Sequence[int]) -> Microbatch | Exception:
        images = torch.empty(self.shape, dtype=self.dtype, memory_format=self.format)
        good, failed = {}, {}
        for index in group:
            item, row = lent_item(self.dataset, index), index % len(images)
            if isinstance(item, str):
                failed[index] = item
                continue
            try:
                images[row] = checked(item, index, self.shape[1:])
            except (TypeError, ValueError) as error:
                return error  # raised there, without the traceback of this process
            good[row] = index
        for row in set(range(len(images))).difference(good):
            images[row] = 0
        rows = sorted(good)
        return Microbatch(
            group[0] // len(images),
            images,
            torch.tensor(rows, dtype=torch.int64),
            torch.tensor([good[row] for row in rows], dtype=torch.int64),
            failed,
        )


def activations(
    graph: Graph, images: Tensor, layers: Sequence[str]
) -> Iterator[tuple[str, Tensor]]:
    """Run images, laid out as ``layout_for`` said, up to some layers.

    Yields:
        (layer, values): (batch, channels, *positions).
    """
    wanted = set(layers)
    for node, value in execute(graph, images, graph.upto(layers), plain(graph)):
        if node.name in wanted:
            yield node.name, value


def directed(
    layer: str, values: Tensor, batch: Microbatch, vectors: Mapping[Directed, Tensor]
) -> Iterator[tuple[Source, Tensor]]:
    """What directions in the channels of a layer respond, from its values for the whole batch.

    Computed in the batch as it was mined: the last bits of a product depend on its shape too.

    Yields:
        (directions, values): (images, directions, *positions) without rows that hold no image.
    """
    for key, vector in vectors.items():
        if key.layer == layer:
            yield key, batch.of_images(responses(values, vector))


def layout_for(graph: Graph, image: Tensor) -> str:
    """Channels last on a CPU, if the model runs so: many do a seventh faster, some a third.

    A model that requires its values to be contiguous (``x.view(n, -1)``) does not, nor does one
    with hooks, which may require it. The image is (1, channels, *size), of any content.
    """
    if layout_of(image) != torch.channels_last or hooks_see(graph):
        return CONTIGUOUS
    try:
        with torch.no_grad(), evaluation(graph.model):
            nodes, given = list(graph), laid_out(image, CHANNELS_LAST)
            run_kept(graph, nodes, lambda: deque(execute(graph, given, nodes, plain(graph)), 0))
    except ValueError:  # what ``execute`` makes of whatever the model says
        return CONTIGUOUS
    return CHANNELS_LAST


def laid_out(images: Tensor, layout: str) -> Tensor:
    """The images (batch, channels, *size) in a layout; the same tensor if they are."""
    return images.contiguous(memory_format=_format_of(layout))


def _format_of(layout: str) -> torch.memory_format:
    return torch.channels_last if layout == CHANNELS_LAST else torch.contiguous_format
