"""A data set is run once; the images that excite each unit most are kept."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any

import h5py
import numpy as np
import torch
from torch import Tensor, nn

import deconvnet
from deconvnet import fingerprint
from deconvnet.feed import first_image, microbatches
from deconvnet.graph import Graph, evaluation
from deconvnet.graphs import Graphs, blank
from deconvnet.layers import Policies, Rectification, rectifier
from deconvnet.layers.convolution import Convolution, TransposedConvolution
from deconvnet.layers.joining import Combination, Concatenation
from deconvnet.layers.linear import Linear
from deconvnet.miner import Miner
from deconvnet.record import Recording, record
from deconvnet.store import Failed, LayerTable, Store, write_store

MINED = (Convolution, TransposedConvolution, Linear, Rectification, Concatenation)
TOLERATED = 0.01  # share of images that may be unreadable before the run stops

Reporter = Callable[[int, int], None]
"""Told how many images are done, of how many."""


@dataclass(frozen=True)
class Source:
    """Where model and data set come from, in words that rebuild them; goes into the store.

    Args:
        model: model spec, such as "torchvision:vgg16".
        weights: file or name of the weights.
        dataset: folder, or "package.module:factory".
        transform: the preprocessing as JSON.
    """

    model: str = ""
    weights: str = ""
    dataset: str = ""
    transform: str = ""


def mine(
    model: nn.Module,
    dataset: Any,
    path: str | PathLike[str],
    layers: Sequence[str | nn.Module] | None = None,
    k: int = 9,
    batch_size: int = 64,
    *,
    source: Source | None = None,
    workers: int = 0,
    strict: bool = False,
    nan: str = "skip",
    report: Reporter | None = None,
) -> Store:
    """Find the k images that excite each unit of each layer most, and write them to a store.

    Exact: the table is what a full sort of all activations would give, one entry an image and
    channel, ties by image index, then by the first position in row-major order. All layers are
    served by one pass over the data set. The store appears whole or not at all.

    Args:
        model: any module that takes images; it comes back as it was.
        dataset: map-style, ``len`` and ``[i]``; an item is a float tensor (channels, height,
            width), preprocessed, or a tuple that starts with one.
        path: the HDF5 file to write.
        layers: node names or modules; by default every convolution, linear layer, activation
            and join.
        k: how many images to keep for each channel.
        batch_size: images run at once, at most the whole data set; part of what a result depends
            on in its last bits.
        source: what to write down of where model and data set come from.
        workers: processes that read images ahead.
        strict: stop at the first unreadable image; else they are written down and left out, up
            to one in a hundred.
        nan: activations that are NaN are left out and counted ("skip", with a warning), or stop
            the run ("error").
        report: called after every microbatch.

    Returns:
        The store, opened.

    Raises:
        KeyError: no such layer.
        ValueError: the images do not fit the model, or each other; too many are unreadable.
        UntraceableError: the graph of the model cannot be read.
        OSError: the store cannot be written; whatever was there before is intact.
    """
    if k < 1 or batch_size < 1:
        raise ValueError(f"k={k} and batch_size={batch_size} were given; both must be at least 1")
    if nan not in ("skip", "error"):
        raise ValueError(f"nan was {nan!r}; use 'skip' or 'error'")
    graphs = Graphs(model)
    image = first_image(dataset)
    one = blank(model, image.shape, like=image)
    graph = graphs.of(one)
    geometry = _geometry(graph, one)
    names = _chosen(graph, geometry, layers)
    batch_size = min(batch_size, len(dataset))  # a few images need not be padded to many
    running = graphs.of(one.expand(batch_size, *image.shape))
    miner = Miner(running, geometry, names, k=k, nan=nan)
    failed: dict[int, str] = {}
    done, total = 0, len(dataset)
    feed = microbatches(
        dataset, batch_size, size=tuple(image.shape), dtype=one.dtype, workers=workers
    )
    with torch.no_grad(), evaluation(model):
        for batch in feed:
            failed.update(batch.failed)
            _bear(failed, total, strict)
            miner.take(batch, one.device)
            done += len(batch.rows) + len(batch.failed)
            if report is not None:
                report(done, total)
    tables = miner.tables()
    attributes = {
        **_attributes(graph, dataset, source or Source()),
        "k": k,
        "input_size": list(image.shape[1:]),
        "batch_shape": [batch_size, *image.shape],
        "dtype": str(one.dtype).removeprefix("torch."),
        "device": str(one.device),
        "images_seen": total - len(failed),
        "images_failed": len(failed),
    }
    broken = [Failed(i, _path_of(dataset, i), reason) for i, reason in sorted(failed.items())]
    return write_store(
        path,
        attributes=attributes,
        layers=tables,
        images={i: _path_of(dataset, i) for i in _occurring(tables)},
        failed=broken,
    )


def minable(model: nn.Module, size: Sequence[int]) -> list[str]:
    """The layers that ``mine`` takes by default, for images of (channels, height, width)."""
    image = blank(model, size)
    graph = Graphs(model).of(image)
    return _chosen(graph, _geometry(graph, image), None)


def _geometry(graph: Graph, image: Tensor) -> Recording:
    """A recording of an empty image, for the sizes and fields of every node."""
    every = [node.name for node in graph]
    return record(graph, image, every, policies=Policies(rectifier("identity")), keep=False)


def _chosen(
    graph: Graph, geometry: Recording, layers: Sequence[str | nn.Module] | None
) -> list[str]:
    """The names of the layers to mine; each must have feature maps."""
    if layers is not None:
        names = list(dict.fromkeys(graph.find(layer) for layer in layers))
    else:
        names = [
            step.name
            for step in geometry.steps
            if isinstance(step.layer, MINED)
            or (isinstance(step.layer, Combination) and len(step.layer.factors) > 1)
        ]
        last = _channels_last(geometry)
        names = [n for n in names if len(geometry.sizes[n]) in (2, 4) and n not in last]
    carried = {step.name for step in geometry.steps}
    for name in names:
        size = geometry.sizes.get(name)
        if name not in carried or size is None or len(size) not in (2, 4):
            found = "no tensor that depends on the image" if size is None else str(tuple(size))
            raise ValueError(
                f"{name} cannot be mined: its value is {found}; choose a layer whose value is "
                "(batch, channels, rows, cols) or (batch, channels)"
            )
        if size[0] != 1 or name in _channels_last(geometry):
            raise ValueError(
                f"{name} cannot be mined: for one image its value is {tuple(size)}, and that is "
                "not (batch, channels, rows, cols); choose a layer before or after it"
            )
    if not names:
        raise ValueError("the model has no convolution, linear layer or activation; name layers=")
    return names


def _channels_last(geometry: Recording) -> set[str]:
    """Fully connected layers on maps: theirs are (batch, rows, cols, channels), as in ConvNeXt."""
    found: set[str] = set()
    for step in geometry.steps:
        maps = isinstance(step.layer, Linear) and len(geometry.sizes[step.name]) > 2
        if maps or (isinstance(step.layer, Rectification) and step.sources[0] in found):
            found.add(step.name)
    return found


def _bear(failed: Mapping[int, str], total: int, strict: bool) -> None:
    """Stop if more images are unreadable than a data set may have."""
    if failed and (strict or len(failed) > max(1, TOLERATED * total)):
        index, reason = next(iter(failed.items()))
        raise ValueError(
            f"{len(failed)} of {total} images cannot be read, the first is image {index}: "
            f"{reason}; repair or remove them"
        )


def _attributes(graph: Graph, dataset: Any, source: Source) -> dict[str, Any]:
    versions = {
        "deconvnet": deconvnet.__version__,
        "h5py": h5py.__version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    return {
        "model": source.model or type(graph.model).__name__,
        "weights": source.weights,
        "model_fingerprint": fingerprint.of_model(graph),
        "dataset": source.dataset or type(dataset).__name__,
        "dataset_fingerprint": fingerprint.of_dataset(dataset),
        "transform": source.transform,
        "versions": json.dumps(versions, sort_keys=True),
    }


def _occurring(tables: Mapping[str, LayerTable]) -> list[int]:
    every = [table.image[table.image >= 0].ravel() for table in tables.values()]
    return np.unique(np.concatenate(every)).tolist() if every else []


def _path_of(dataset: Any, index: int) -> str:
    """What the data set calls an image: its path, else its index."""
    path = getattr(dataset, "path", None)
    return fspath(path(index)) if callable(path) else str(index)
