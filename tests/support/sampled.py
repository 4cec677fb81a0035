"""A store with a sample, of activations that a test writes down."""

import numpy as np

from deconvnet.store.store import write_store
from deconvnet.store.table import LayerTable, Sample


def sampled(path, values, *, random_state=0, layer="relu", image=None):
    """A store of one layer of 1 x 1 maps: (channels, images) activations, all in the sample."""
    values = np.asarray(values, "f4")
    channels, n = values.shape
    numbers = np.arange(n) if image is None else image
    place = np.zeros((channels, n), "i4")
    place[np.isnan(values)] = -1
    box = np.stack([place, place, place + 1, place + 1], -1).astype("i4")
    box[np.isnan(values)] = -1
    sample = Sample(
        activation=values, image=numbers, row=place, col=place, box=box, channels=channels,
        size=(1, 1),
    )  # fmt: skip
    best = np.nanargmax(values, 1)
    top = np.take_along_axis(values, best[:, None], 1)
    zeros = np.zeros((channels, 1), "i4")
    table = LayerTable(
        activation=top, image=best[:, None].astype("i8"), row=zeros, col=zeros,
        box=np.tile(np.array([0, 0, 1, 1], "i4"), (channels, 1, 1)),
        mean=np.nanmean(values, 1).astype("f8"), nonzero=(values > 0).mean(1).astype("f8"),
        nan=np.isnan(values).sum(1).astype("i8"), channels=channels, size=(1, 1), field=(1, 1),
        stride=(1, 1), sample=sample,
    )  # fmt: skip
    images = {i: f"{i}.png" for i in range(n)}
    return write_store(
        path, attributes={"random_state": random_state}, layers={layer: table}, images=images
    )
