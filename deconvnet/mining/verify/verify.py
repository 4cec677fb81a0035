"""Check a mined store against its model and data set, by recomputing random entries."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from deconvnet.arguments import Brief
from deconvnet.data.resolve import given_dataset
from deconvnet.data.samples import first_image
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import plain
from deconvnet.mining import fingerprint
from deconvnet.mining.progress import reporting
from deconvnet.mining.source import source_of
from deconvnet.net import DeconvNet
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.forward import geometry_of
from deconvnet.store.store import Store

from .attributes import compare_attributes, compare_layers
from .compare import Mismatch
from .pictures import compare_pictures
from .recompute import ACROSS, TOLERANCE, Recomputation


@dataclass(frozen=True)
class Verification(Brief):
    """What was compared, and what was not as the store says.

    Args:
        checked: entries recomputed.
        equal: those of them whose activation is equal bit for bit.
        images: images run through the model.
        pictures: stored patches, and projections, compared with new ones.
        tolerance: how far the others may be off, as a share of the layer's greatest activation.
        random_state: which entries were drawn.
        mismatches: empty if all is well.
        unchecked: what could not be compared, in words.
    """

    checked: int
    equal: int
    images: int
    pictures: int
    tolerance: float
    random_state: int
    mismatches: tuple[Mismatch, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether everything compared is as the store says."""
        return not self.mismatches


@plain()
def verify(
    store: Store,
    net: nn.Module | DeconvNet | None = None,
    data: Any = None,
    *,
    n: int | None = 100,
    random_state: int = 0,
    tolerance: float | None = None,
    preprocessing: Any = None,
    report: Callable[[int, int], None] | None = None,
    progress: bool = True,
) -> Verification:
    """Recompute random entries of a store, and look for images that are missing from it.

    Compared are: the fingerprints of model and data set; what the store records of layers, images
    and preprocessing; which images are its sample; activation, position, box and path of n entries
    of the strongest, the lowest, the sample and the directions; and the stored pictures of these
    entries. Every image that is run, some drawn at random among them, must stand in each table
    whose last entry it beats, or be counted among its ties. The counters (mean, nonzero, nan, ties)
    must be possible beside the tables; where all images are run they are counted again.

    Images run in microbatches of the recorded shape, each in the row that it was mined in: on the
    machine that mined the store the activations are then equal bit for bit. So 100 images may
    take more than two microbatches of 64, as many as there are images of one row. Beside the
    graph, by which the store was mined, the model itself runs on each microbatch, and its values
    are compared with the graph's wherever a module gives them: two forward passes in all.

    Args:
        store: as ``open_store`` gives it.
        net: the model, or its DeconvNet; by default what this process has mined, else what the
            store names (see ``mining.source``).
        data: gives the images by index, as when it was mined; or its path. By default likewise.
        n: how many entries; all, if there are no more; None: all, and all images.
        random_state: which ones.
        tolerance: how far an activation may be off, as a share of its layer's greatest; 0 for
            the last bit; by default 1e-4, 1e-2 where the store was mined, or is verified, on a
            GPU, and more for models in half precision.
        preprocessing: makes tensors of images, where the data set is given as a path: a
            ``Preprocessing``, or torchvision's weights; by default the model's own, else that of
            the store.
        report: called after every microbatch.
        progress: show a bar after a second, if there is no ``report``.

    Raises:
        ValueError: n is not positive, or the images do not fit the model.
        TypeError: the items of the data set are no images.
    """
    if n is not None and n < 1:
        raise ValueError(f"n={n} was given, expected at least one entry")
    if random_state < 0:
        raise ValueError(f"random_state={random_state} was given, expected 0 or more")
    model, dataset = source_of(store, net, data, preprocessing=preprocessing)
    dataset = given_dataset(
        dataset, preprocessing=preprocessing, model=model, attributes=store.attributes
    )
    graphs = Graphs(model.model if isinstance(model, DeconvNet) else model)
    image = blank(graphs.model, first_image(dataset).shape)
    graph = settled(graphs, image, list(store))
    here = fingerprint.of_model(graph, image)
    geometry = geometry_of(graph, image)
    if tolerance is None:
        devices = {str(store.attributes.get("device", "cpu")).partition(":")[0], image.device.type}
        usual = TOLERANCE if devices == {"cpu"} else ACROSS
        tolerance = max(usual, 8 * torch.finfo(image.dtype).eps)
    layers = dict(compare_layers(store, geometry))
    entries = Recomputation(
        store, graphs, geometry, dataset,
        layers=[name for name in store if name not in layers],
        n=n, random_state=random_state, tolerance=tolerance,
    )  # fmt: skip
    attributes = list(compare_attributes(store, here, dataset))
    with reporting(report, "verifying", progress=progress) as told:
        recomputed = entries.mismatches(told)
    pictures = list(compare_pictures(store, graphs.model, dataset, chosen=entries.drawn))
    said = [*attributes, *layers.values(), *recomputed, *pictures]
    compared = entries.tables.values()
    return Verification(
        checked=sum(each.checked for each in compared),
        equal=sum(each.equal for each in compared),
        images=entries.images,
        pictures=sum(not isinstance(each, str) for each in pictures),
        tolerance=tolerance,
        random_state=random_state,
        mismatches=tuple(each for each in said if isinstance(each, Mismatch)),
        unchecked=tuple(dict.fromkeys(each for each in said if isinstance(each, str))),
    )
