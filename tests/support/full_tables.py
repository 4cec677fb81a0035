"""Layer tables with all that a store of format 2 may hold, of any number of axes."""

import numpy as np

from deconvnet.store.table import Directions, LayerTable, Lowest, Sample

SAMPLE = np.array([7, 2, 5, -1], dtype="i8")
IMAGES = {index: f"{index}.jpg" for index in range(9)}


def entries(channels, k, *, axes, rank, image, seed):
    """Columns of a table; where the image is -1 every column is empty."""
    rng = np.random.default_rng(seed)
    image = np.broadcast_to(image, (channels, k)).astype("i8")
    place = rng.integers(0, 4, (axes, channels, k), dtype="i4")
    start = rng.integers(0, 9, (channels, k, axes), dtype="i4")
    found = {
        "activation": np.zeros((channels, k), "f4"),
        "image": image,
        **dict(zip(("depth", "row", "col")[-axes:], place, strict=True)),
        "box": np.concatenate([start, start + 2], axis=2).astype("i4"),
    }
    if rank == "mean":
        found["peak"] = rng.normal(size=(channels, k)).astype("f4")
    for name, column in found.items():
        column[image < 0] = np.nan if name in ("activation", "peak") else -1
    return found


def layer(channels=3, *, axes=2, rank="max", seed=0, directions=True):
    """A layer; its last channel has an empty slot, its sample an image too few."""
    rng = np.random.default_rng(seed)
    top = np.array([[0, 4], [1, 8], [6, -1]])[-channels:]
    geometry = {"channels": channels, "size": (4,) * axes}
    strong = entries(channels, 2, axes=axes, rank=rank, image=top, seed=seed)
    strong["activation"] += np.array([2.5, 2.5], "f4")
    weak = entries(channels, 2, axes=axes, rank=rank, image=top, seed=seed + 1)
    weak["activation"] += np.array([-3, -1], "f4")
    drawn = entries(channels, 4, axes=axes, rank=rank, image=SAMPLE, seed=seed + 2)
    drawn["activation"] += rng.normal(size=drawn["activation"].shape).astype("f4")
    counts = {
        "mean": rng.random(channels), "nonzero": rng.random(channels),
        "nan": np.zeros(channels, "i8"), "ties": np.arange(channels, dtype="i8"),
    }  # fmt: skip
    field = {"field": (3,) * axes, "stride": (1,) * axes}
    other = {}
    if directions:
        vector = rng.normal(size=(channels, channels)).astype("f4")
        parts = {**strong, **counts, **geometry, **field, "vector": vector}
        other = {"concepts/1": Directions(**parts)}
    return LayerTable(
        **strong, **counts, **geometry, **field, directions=other,
        lowest=Lowest(**weak, **geometry, of="conv", ties=counts["ties"]),
        sample=Sample(**{**drawn, "image": SAMPLE}, **geometry),
    )  # fmt: skip
