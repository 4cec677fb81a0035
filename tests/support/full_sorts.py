"""Strongest, lowest and sample of all activations, by sorting them in plain Python."""

import hashlib
import math

import numpy as np

BROKEN = (4, 8)
SAMPLE, SEED = 6, 2


def good():
    return [image for image in range(13) if image not in BROKEN]


def drawn(seed=SEED, images=None, n=SAMPLE, salt=""):
    """The sample: the images of the smallest hashes."""
    key = {
        i: hashlib.blake2b(f"{salt}{seed} {i}".encode(), digest_size=8).digest()
        for i in (good() if images is None else images)
    }
    return sorted(key, key=lambda i: (key[i], i))[:n]


def quantity(one, rank, sign):
    """What ranks an image, its position and the value there; None if all is NaN."""
    every = [(v, p) for p, v in enumerate(one.flatten().tolist()) if not math.isnan(v)]
    if not every:
        return None
    value, place = min(every, key=lambda each: (-sign * each[0], each[1]))
    of = value if rank == "max" else float(np.float32(math.fsum(v for v, _ in every) / len(every)))
    position = tuple(map(int, np.unravel_index(place, one.shape))) if one.ndim else (-1, -1)
    return of + 0.0, position, value + 0.0


def ranked(values, rank, *, sign, k, ties=1):
    """[(activation, image, position, peak)] of every channel, and how many tie with the last."""
    tables, counts = [], []
    for channel in range(values.shape[1]):
        found = {i: quantity(values[i, channel], rank, sign) for i in good()}
        entries = [(q[0], i, q[1], q[2]) for i, q in found.items() if q is not None]
        entries.sort(key=lambda e: (-sign * e[0], ties * e[1]))
        tables.append(entries[:k])
        last = entries[k - 1][0] if len(entries) >= k else None
        counts.append(sum(e[0] == last for e in entries[k:]))
    return tables, counts


def sampled(values, rank, images):
    """The same of the images of a sample, None for a map of NaN alone."""
    tables = []
    for channel in range(values.shape[1]):
        found = ((i, quantity(values[i, channel], rank, 1)) for i in images)
        tables.append([None if q is None else (q[0], i, q[1], q[2]) for i, q in found])
    return tables


def rows(table, rank):
    """A table of a store like those above; what is empty must be empty in every column."""
    found = []
    for channel in range(table.channels):
        entries = []
        for slot in range(table.k):
            place = tuple(table.positions[channel, slot].tolist())
            value = float(table.activation[channel, slot])
            image = int(table.images[channel, slot])
            peak = value if rank == "max" else float(table.peak[channel, slot])
            empty = math.isnan(value)
            assert empty == math.isnan(peak) == (image == -1)
            if empty:
                assert place == (-1, -1)
                assert table.box[channel, slot].tolist() == [-1] * 4
            entries.append(None if empty else (value, image, place, peak))
        found.append(entries)
    return found


def full(entries):
    return [[each for each in channel if each is not None] for channel in entries]
