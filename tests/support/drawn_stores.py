"""Stores with pictures that a test makes up: no model, no data set, as many units as it likes."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from deconvnet.store.store import write_store
from deconvnet.store.table import LayerTable, Sample

INPUT = (20, 24)  # height and width
FIELD = (8, 10)
RULE = "deconvnet"


def drawn(path, layers, *, k=9, images=30, names=None, dead=(), sample=0, field=FIELD, seed=0):
    """A store of layers {name: channels}: random boxes, patches and projections.

    Args:
        path: of the file.
        layers: {name: channels}.
        k: images of a channel.
        images: of the data set.
        names: {index: path} of some of them; the others are called by their number.
        dead: channels of every layer that were never positive.
        sample: images in the sample.
        field: height and width of the receptive field; the border clips some boxes.
        seed: of the random numbers.
    """
    random = np.random.default_rng(seed)
    tables = {n: _table(random, c, k, images, dead, sample, field) for n, c in layers.items()}
    paths = {i: f"{i}.png" for i in range(images)} | (names or {})
    made = {"input_size": [3, *INPUT], "model": "Made", "dataset": "made", "images_seen": images}

    def draw(name, group):
        _draw(random, tables[name][0], tables[name][1], group)

    return write_store(
        path, attributes=made, layers={n: t for n, (t, _) in tables.items()}, images=paths,
        draw=draw,
    )  # fmt: skip


def crop(file, layer, channel, slot):
    """A stored patch as 8-bit pixels, read from the file with h5py and Pillow alone."""
    group = file["layers"][layer]["patch"]
    first, length = group["offset"][channel, slot], group["length"][channel, slot]
    with Image.open(io.BytesIO(group["bytes"][first : first + length].tobytes())) as image:
        return np.asarray(image)


def _table(random, channels, k, images, dead, sample, field):
    """A table, and the overhang of its entries."""
    activation = -np.sort(-random.uniform(0.1, 9, (channels, k)).astype("f4"), 1)
    activation[list(dead)] = 0
    image = np.argsort(random.random((channels, images)), 1)[:, :k].astype("i8")
    image[list(dead)] = np.arange(k)
    row, col = (random.integers(0, n, (channels, k)).astype("i4") for n in (4, 5))
    box, overhang = _boxes(row, col, field)
    some = None
    if sample:
        values = random.uniform(0, 9, (channels, sample)).astype("f4")
        values[values < 3] = 0
        zeros = np.zeros((channels, sample), "i4")
        chosen = np.arange(sample, dtype="i8")
        some = Sample(
            activation=values, image=chosen, row=zeros, col=zeros,
            box=_boxes(zeros, zeros, field)[0], channels=channels, size=(4, 5),
        )  # fmt: skip
    alive = (activation[:, 0] > 0).astype("f8")
    table = LayerTable(
        activation=activation, image=image, row=row, col=col, box=box,
        mean=activation.mean(1).astype("f8"), nonzero=alive * 0.5, nan=np.zeros(channels, "i8"),
        channels=channels, size=(4, 5), field=tuple(map(float, field)), stride=(5.0, 5.0),
        sample=some,
    )  # fmt: skip
    return table, overhang


def _boxes(row, col, field):
    """Boxes (…, 4) of fields that begin two pixels before their place, clipped to the image."""
    start = np.stack([5 * row - 2, 5 * col - 2], -1)
    ends = np.minimum(start + field, INPUT)
    begins = np.maximum(start, 0)
    return np.concatenate([begins, ends], -1).astype("i4"), (begins - start).astype("i4")


def _draw(random, table, overhang, group):
    shown = table.has_picture
    overhang = np.where(shown[..., None], overhang, -1).astype("i4")
    offset, length = np.full(shown.shape, -1, "i8"), np.zeros(shown.shape, "i4")
    places, scale = np.full(shown.shape, -1, "i8"), np.zeros(shown.shape, "f4")
    files, values, known, filled, done = [], [], {}, 0, 0
    for place in map(tuple, np.argwhere(shown)):
        size = table.box_of(*place).size
        few = (size, int(random.integers(8)))  # entries may share a file
        if few not in known:
            blocks = random.integers(0, 256, (2, 2, 3), dtype=np.uint8)
            pixels = np.kron(blocks, np.ones((5, 5, 1), np.uint8))[: size[0], : size[1]]
            memory = io.BytesIO()
            Image.fromarray(pixels).save(memory, "JPEG", quality=95, subsampling=0)
            known[few] = (filled, len(memory.getvalue()))
            files.append(memory.getvalue())
            filled += known[few][1]
        offset[place], length[place] = known[few]
        values.append(random.standard_normal(3 * size[0] * size[1]).astype("<f2"))
        places[place], scale[place] = done, 1
        done += len(values[-1])
    group["overhang"] = overhang
    patch, projection = group.create_group("patch"), group.create_group(f"projection/{RULE}")
    patch["offset"], patch["length"] = offset, length
    patch["bytes"] = np.frombuffer(b"".join(files), "|u1")
    projection["offset"], projection["scale"] = places, scale
    projection["values"] = np.concatenate(values) if values else np.zeros(0, "<f2")
    projection.attrs["channels"], projection.attrs["elsewhere"] = 3, ""
