"""Which entries and images of a store are looked at again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from deconvnet.store.store import Store

Chosen = Mapping[str, Sequence[tuple[int, int]]]
"""{layer: [(channel, slot)]}"""
STRANGERS = 8  # at least as many images that no chosen entry names


def draw_entries(store: Store, layers: Sequence[str], n: int, *, seed: int) -> Chosen:
    """Entries of these layers: every full slot is equally likely, none is drawn twice.

    Args:
        store: whose tables.
        layers: names of some of its layers.
        n: how many; all, if there are no more.
        seed: which ones.
    """
    full = [np.argwhere(store[name].image >= 0) for name in layers]
    ends = np.cumsum([0, *map(len, full)])
    drawn = np.random.default_rng(seed).choice(ends[-1], min(n, ends[-1]), replace=False)
    numbers = np.sort(drawn)
    found = {}
    for name, places, start, end in zip(layers, full, ends[:-1], ends[1:], strict=True):
        own = places[numbers[(numbers >= start) & (numbers < end)] - start]
        if len(own):
            found[name] = [(int(channel), int(slot)) for channel, slot in own]
    return found


def draw_images(store: Store, chosen: Chosen, *, count: int, batch: int, seed: int) -> list[int]:
    """The images of chosen entries, and random others: in all, some whole microbatches full.

    Every image runs in the row that it was mined in, so that these may be spread over more
    microbatches, as many as there are images of one row, and others take the rows left free.

    Args:
        store: whose entries.
        chosen: the entries.
        count: images of the data set.
        batch: images of a microbatch.
        seed: which others.
    """
    named = {int(store[name].image[place]) for name, places in chosen.items() for place in places}
    known = np.array([*named, *(lost.index for lost in store.failed)], dtype=np.int64)
    others = np.random.default_rng([seed, 1]).permutation(np.setdiff1d(np.arange(count), known))
    used = np.bincount(np.array(sorted(named), dtype=np.int64) % batch, minlength=batch)
    rows = others % batch
    order = np.argsort(rows, kind="stable")
    nth = np.empty_like(rows)  # which of the others of its row each one is
    nth[order] = np.arange(len(rows)) - np.searchsorted(rows[order], rows[order])
    place = used[rows] + nth  # the microbatch that each could be in
    wanted = -(-(len(named) + STRANGERS) // batch) * batch - len(named)
    enough = np.sort(place)[:STRANGERS]
    microbatches = max([1, int(used.max()), *(enough[-1:] + 1).tolist()])
    drawn = others[place < microbatches][:wanted]
    return sorted(named | set(drawn.tolist()))
