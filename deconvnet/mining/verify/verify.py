"""Whether a store still means what it says: random entries recomputed from model and data set."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.data.resolve import given_dataset
from deconvnet.data.samples import first_image
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.modes import ordinarily
from deconvnet.mining import fingerprint
from deconvnet.net import DeconvNet
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.projection.geometry import geometry_of
from deconvnet.store.store import Store

from .attributes import held_against
from .compare import Mismatch
from .pictures import compare_pictures
from .recompute import recomputed

TOLERANCE = 1e-4  # of a layer's greatest activation: other processors differ in the last bits
ACROSS = 1e-2  # where a GPU has a part in it: by default it multiplies with 10 bits


@dataclass(frozen=True)
class Verification:
    """What was compared, and what was not as the store says.

    Args:
        checked: entries recomputed.
        equal: those of them whose activation is equal bit for bit.
        images: images run through the model.
        pictures: stored patches, and projections, compared with new ones.
        tolerance: how far the others may be off, as a share of the layer's greatest activation.
        seed: which entries were drawn.
        mismatches: empty if all is well.
        unchecked: what could not be compared, in words.
    """

    checked: int
    equal: int
    images: int
    pictures: int
    tolerance: float
    seed: int
    mismatches: tuple[Mismatch, ...]
    unchecked: tuple[str, ...] = ()

    @property
    def passed(self) -> bool:
        """Whether the store is what this model and data set give, as far as was looked."""
        return not self.mismatches


@ordinarily
def verify(
    store: Store,
    model: nn.Module | DeconvNet,
    dataset: Any,
    *,
    n: int | None = 100,
    seed: int = 0,
    tolerance: float | None = None,
    preprocessing: Any = None,
    report: Callable[[int, int], None] | None = None,
) -> Verification:
    """Recompute random entries of a store, and look for images that are missing from it.

    Fingerprints of model and data set are compared, and what the store says of layers, images
    and preprocessing; of n entries activation, position, box and path; and every image that is
    run, some drawn at random among them, must stand in each table whose last entry it beats.
    Stored pictures of the entries are held against new ones. The counters (mean, nonzero, nan)
    must be possible beside the tables; where all images are run they are counted again. Images
    run in microbatches of the recorded shape, each in the row that it was mined in: on the
    machine that mined the store the activations are then equal bit for bit. So 100 images may
    take more than two microbatches of 64, as many as there are images of one row. Beside the
    graph, by which the store was mined, the model itself runs on each microbatch, and its values
    are compared with the graph's wherever a module gives them: two forward passes in all.

    Args:
        store: as ``open_store`` gives it.
        model: the model, or its DeconvNet.
        dataset: gives the images by index, as when it was mined; or its path.
        n: how many entries; all, if there are no more; None: all, and all images.
        seed: which ones.
        tolerance: how far an activation may be off, as a share of its layer's greatest; 0 for
            the last bit; by default ``TOLERANCE``, ``ACROSS`` where the store was mined, or is
            verified, on a GPU, and more for models in half precision.
        preprocessing: makes tensors of images, where the data set is given as a path: a
            ``Preprocessing``, or torchvision's weights; by default the
            model's own, else that of the store.
        report: called after every microbatch.

    Raises:
        ValueError: n is not positive, or the images do not fit the model.
        TypeError: the items of the data set are no images.
    """
    if n is not None and n < 1:
        raise ValueError(f"n={n} was given, expected at least one entry")
    if seed < 0:
        raise ValueError(f"seed={seed} was given, expected 0 or more")
    dataset = given_dataset(
        dataset, preprocessing=preprocessing, model=model, attributes=store.attributes
    )
    graphs = Graphs(model.model if isinstance(model, DeconvNet) else model)
    image = blank(graphs.model, first_image(dataset).shape)
    graph = settled(graphs, image, list(store))
    here = fingerprint.of_model(graph)  # before any forward, which may leave something behind
    geometry = geometry_of(graph, image)
    claims = held_against(store, here, geometry, dataset)
    tolerance = _tolerance(store, image) if tolerance is None else tolerance
    entries = recomputed(
        store, graphs, geometry, dataset,
        layers=[name for name in store if name not in claims.strange],
        n=n, seed=seed, tolerance=tolerance, report=report,
    )  # fmt: skip
    looked = compare_pictures(store, graphs.model, dataset, chosen=entries.chosen)
    pictures = [mismatch for mismatch in looked.found if mismatch is not None]
    return Verification(
        checked=entries.checked,
        equal=entries.equal,
        images=entries.images,
        pictures=len(looked.found),
        tolerance=tolerance,
        seed=seed,
        mismatches=(*claims.found, *entries.mismatches, *pictures),
        unchecked=(*claims.unchecked, *entries.unchecked, *looked.unchecked),
    )


def _tolerance(store: Store, image: Tensor) -> float:
    """What machines, or precisions, may differ by."""
    devices = {str(store.attributes.get("device", "cpu")).partition(":")[0], image.device.type}
    usual = TOLERANCE if devices == {"cpu"} else ACROSS
    return max(usual, 8 * torch.finfo(image.dtype).eps)
