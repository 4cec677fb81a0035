"""Compare a store's attributes, layers and counters with its tables, model and data set."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from deconvnet.data.resolve import preprocessing_of_data, recorded
from deconvnet.data.samples import first_image, read_item
from deconvnet.mining import fingerprint
from deconvnet.mining.run.lowest_of import lowest_of
from deconvnet.mining.topk import Members
from deconvnet.projection import receptive_field
from deconvnet.projection.geometry import Geometry
from deconvnet.store.format import DEFAULTS
from deconvnet.store.store import Store
from deconvnet.store.table import LayerTable, Ranked

from .compare import Mismatch

_ROUNDING = 1e-5  # of the float32 sum of a large map; a mean may come out above the maximum
_READ = 16  # images said to be unreadable that are read


def compare_attributes(store: Store, model: str, dataset: Any) -> Iterator[Mismatch | str]:
    """Compare the attributes of a store, its failed images and its counters.

    ``model`` is the fingerprint of the model.

    Yields:
        A mismatch; or, as text, what could not be compared and why.
    """
    told = store.attributes.get("model_fingerprint")
    if not told:
        yield "the fingerprint of the model: the store tells none"
    elif not fingerprint.comparable(told):
        yield "the fingerprint of the model: an earlier deconvnet made it"
    elif told != model:
        yield Mismatch("model", f"its fingerprint is {model[:12]}…, the store says {told!s:.12}…")
    told = store.attributes.get("dataset_fingerprint")
    if not told:
        yield "the fingerprint of the data set: the store tells none"
    elif told != (here := fingerprint.of_dataset(dataset)):
        yield Mismatch("data set", f"its fingerprint is {here[:12]}…, the store says {told!s:.12}…")
    yield from _images(store, dataset)
    told, own = recorded(store.attributes), preprocessing_of_data(dataset)
    if told is None or own is None:
        yield "the preprocessing: store or data set do not tell theirs"
    elif told != own:
        what = f"the data set has {own.to_json()}, the store says {told.to_json()}"
        yield Mismatch("preprocessing", what)
    yield from _sample(store, len(dataset))
    for name, table in store.items():
        for path, each in table.every.items():
            where = f"{path} of {name}" if path else name
            if isinstance(each, LayerTable):
                yield from _counters(store, where, each)
            if isinstance(each, Ranked) and each.ties is not None:
                yield from _ties(store, where, each, each.ties)
    if not len(store):
        yield Mismatch("store", "it has no layers: there is nothing to recompute")
    elif not any((table.image >= 0).any() for table in store.values()):
        yield "entries: there are none"


def compare_layers(store: Store, geometry: Geometry) -> Iterator[tuple[str, Mismatch]]:
    """The layers that the model does not have, or with another size, field or stride."""
    known = [name for name in store if name in geometry.sizes]
    seen = receptive_field.of_layers(geometry, known)
    for name, table in store.items():
        here, told = geometry.sizes.get(name, ())[1:], (table.channels, *table.size)
        if tuple(here) != told:
            has = f"{tuple(here)} channels, rows and columns" if here else "no such layer"
            yield name, Mismatch("layer", f"{name}: the model has {has}, the store says {told}")
            continue
        own = seen[name]
        stride = own.stride if table.size else tuple(table.stride)  # there is none
        if (tuple(table.field), tuple(table.stride)) != (own.size, stride):
            has = f"a field of {own.size} and a stride of {stride}"
            says = f"{tuple(table.field)} and {tuple(table.stride)}"
            yield name, Mismatch("layer", f"{name}: the model has {has}, the store says {says}")
            continue
        if table.lowest is not None:
            of, source = table.lowest.of, lowest_of(geometry, name)
            sizes, told = geometry.sizes.get(of, ()), (table.channels, *table.lowest.size)
            if of != source or tuple(sizes[1:]) != told:
                has = f"{source}, {tuple(geometry.sizes[source][1:])}"
                what = f"the lowest of {name} are of {has}; the store says {of}, {told}"
                yield name, Mismatch("layer", what)
                continue
        for key, each in table.directions.items():
            low = each.lowest
            alike = (each.size, each.field, each.stride) == (table.size, table.field, table.stride)
            if not alike or (low is not None and (low.of, low.size) != (name, table.size)):
                what = f"the directions {key!r} of {name} have another size, field, stride or `of`"
                yield name, Mismatch("layer", f"{what} than the layer has")


def _images(store: Store, dataset: Any) -> Iterator[Mismatch]:
    """Compare the number of images, the batch shape, and which images cannot be read."""
    told = store.attributes
    seen, failed = told.get("images_seen"), told.get("images_failed", len(store.failed))
    if isinstance(seen, int) and isinstance(failed, int) and seen + failed != len(dataset):
        what = f"the data set has {len(dataset)} images, the store says {seen} and {failed} failed"
        yield Mismatch("data set", what)
    if failed != len(store.failed):
        what = f"it names {len(store.failed)} failed images, and says that they are {failed}"
        yield Mismatch("store", what)
    for lost in store.failed[:_READ]:
        if lost.index >= len(dataset):
            yield Mismatch("image", f"{lost.index} is not in the data set, and said to have failed")
        elif not isinstance(read_item(dataset, lost.index), (str, Exception)):
            yield Mismatch("image", f"{lost.index} can be read, the store says: {lost.reason}")
    shape, size = told.get("batch_shape"), tuple(first_image(dataset).shape)
    if isinstance(shape, tuple) and (shape[1:] != size or shape[0] > len(dataset)):
        what = f"images are {size}, and {len(dataset)}; the store says they ran as {shape}"
        yield Mismatch("batch shape", what)


def _sample(store: Store, images: int) -> Iterator[Mismatch]:
    """Compare which images are the sample."""
    told: dict[str, Any] = {**DEFAULTS, **store.attributes}
    drawn = next((table.sample for table in store.values()), None)
    if drawn is None:
        return
    lost = {failed.index for failed in store.failed}
    members = Members(drawn.k, int(told["random_state"]))
    members.admit(image for image in range(images) if image not in lost)
    slots = members.images
    expected = [slots[slot] for slot in members.order()]
    if drawn.image.tolist() != expected:
        what = f"its images are {drawn.image.tolist()[:9]}…, and should be {expected[:9]}…"
        yield Mismatch("sample", what)


def _ties(store: Store, name: str, table: Ranked, ties: NDArray[np.int64]) -> Iterator[Mismatch]:
    """Compare the ties with the number of images that stand in no slot."""
    seen = store.attributes.get("images_seen")
    left = seen - table.k if isinstance(seen, int) else np.iinfo(np.int64).max
    most = np.where(np.isnan(table.activation[:, -1]), 0, max(0, left))
    odd = np.flatnonzero((ties < 0) | (ties > most))
    for channel in odd[:1]:
        what = f"{name}:{channel} cannot have {ties[channel]} ties beside {table.k} entries of "
        yield Mismatch("ties", f"{what}{seen} images; the same of {len(odd) - 1} more channels")


def _counters(store: Store, name: str, table: LayerTable) -> Iterator[Mismatch]:
    """Compare the counters with the bounds that the table puts on them."""
    seen = store.attributes.get("images_seen")
    positive = (table.value > 0).sum(1)
    share, first = table.nonzero, table.activation[:, 0]
    odd = (share < 0) | (share > 1) | ((share == 0) & (positive > 0)) | (table.nan < 0)
    if isinstance(seen, int) and seen > 0:
        # where there was room for one that is not positive, all that are stand in the table
        exact = (table.peak is None) & (positive < table.k) & (share != positive / seen)
        odd |= np.where(np.isnan(share), False, exact | (share < positive / seen))
    with np.errstate(invalid="ignore"):
        odd |= np.isfinite(first) & (table.mean > first + _ROUNDING * np.abs(first) + 1e-12)
    for channel in np.flatnonzero(odd)[:1]:
        at = f"mean {table.mean[channel]:g}, nonzero {share[channel]:g}, nan {table.nan[channel]}"
        what = f"{name}:{channel} and {odd.sum() - 1} more channels cannot have {at} with their "
        yield Mismatch("counts", what + f"strongest activations {table.activation[channel]}")
