"""A table of two channels, to be spoiled."""

import numpy as np

from deconvnet.store.table import LayerTable

MAXIMA = np.array([[3, 2], [1, np.nan]], dtype="f4")
IMAGES = np.array([[0, 1], [1, -1]])


def table(activation=MAXIMA, image=IMAGES, **changes):
    place = np.where(image < 0, -1, 1).astype("i4")
    parts = {
        "row": place,
        "col": place,
        "box": np.repeat(place[..., None], 4, axis=2),
        "mean": np.zeros(2),
        "nonzero": np.ones(2),
        "nan": np.zeros(2, dtype="i8"),
    } | changes
    return LayerTable(
        activation=activation,
        image=image,
        **parts,
        channels=2,
        size=(7, 7),
        field=(3, 3),
        stride=(1, 1),
    )
