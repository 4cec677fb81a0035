"""Sort keys: one int64 that orders the entries of a top-k table.

The upper half of an int64 key holds the float32 bits of the activation, made monotone; the lower
half the image, counted down. The larger key is the better entry: the stronger activation, among
equals the smaller image. No two images of a channel share a key, so neither the order of ties,
which ``torch.topk`` leaves open, nor the order of merging can be seen in a table.
"""

import torch
from torch import Tensor

EMPTY = torch.iinfo(torch.int64).min
"""The key of an empty slot, below that of -inf."""
NOWHERE = -1
"""The place of an empty slot."""
LAST_IMAGE = 2**32 - 2
"""The largest image index that a key can hold and tell from an empty slot."""
_LOW_BITS = 0xFFFFFFFF


def keys_of(activations: Tensor, images: Tensor) -> Tensor:
    """The keys (channels, batch) of activations (channels, batch) float32 and images (batch,).

    NaN makes an empty key. -0.0 would sort below 0.0: add 0.0 to be rid of it.
    """
    bits = activations.contiguous().view(torch.int32)
    monotone = torch.where(bits < 0, bits ^ 0x7FFFFFFF, bits).long()
    keys = (monotone << 32) | (_LOW_BITS - images)
    return keys.masked_fill_(activations.isnan(), EMPTY)


def activations_of(keys: Tensor) -> Tensor:
    """The activations, float32, of keys of any shape; NaN for empty ones."""
    monotone = (keys >> 32).int()
    bits = torch.where(monotone < 0, monotone ^ 0x7FFFFFFF, monotone)
    return bits.view(torch.float32).masked_fill(keys == EMPTY, torch.nan)


def images_of(keys: Tensor) -> Tensor:
    """The images, int64, of keys of any shape; one above ``LAST_IMAGE`` for empty ones."""
    return _LOW_BITS - (keys & _LOW_BITS)


def places_of(positions: Tensor, peaks: Tensor) -> Tensor:
    """Positions and the float32 values at them, both of any shape, as one int64 each.

    The value is the upper half, the position, flat, the lower.
    """
    return (peaks.contiguous().view(torch.int32).long() << 32) | positions


def positions_of(places: Tensor) -> Tensor:
    """The positions, int64, of places of any shape; -1 where there is none."""
    return torch.where(places == NOWHERE, NOWHERE, places & _LOW_BITS)


def peaks_of(places: Tensor) -> Tensor:
    """The values at the positions, float32, of places of any shape; NaN where there is none."""
    return (places >> 32).int().view(torch.float32)


def tied(keys: Tensor, last: Tensor) -> Tensor:
    """How many keys (channels, n) have the activation of a key of each row, (channels,)."""
    same = (keys >> 32) == (last >> 32)[:, None]
    return same.sum(1).masked_fill(last == EMPTY, 0)


def best(keys: Tensor, places: Tensor, *, k: int) -> tuple[Tensor, Tensor, Tensor]:
    """The k best of every row of keys (channels, n), one for each image, with their places.

    Of two entries of one image the stronger stays, of equals the first position: whatever the
    order along n, the result is the same. The third is how many are left out that tie with the
    last.
    """
    places, order = places.sort(dim=1, stable=True)
    keys, order = keys.gather(1, order).sort(dim=1, descending=True, stable=True)
    places = places.gather(1, order)
    # equal images side by side, the best of them first
    images, order = (keys & _LOW_BITS).sort(dim=1, stable=True)
    repeated = torch.zeros_like(keys, dtype=torch.bool)
    repeated.scatter_(1, order[:, 1:], images[:, 1:] == images[:, :-1])
    keys = keys.masked_fill(repeated, EMPTY)
    places = places.masked_fill(repeated, NOWHERE)
    every, (keys, chosen) = keys, keys.topk(k, dim=1)
    left_out = tied(every, keys[:, -1]) - tied(keys, keys[:, -1])
    return keys, places.gather(1, chosen), left_out
