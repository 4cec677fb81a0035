"""Whole feature maps to a number each: maxima, sums, and where a maximum stands."""

import torch
from torch import Tensor

_CACHED = 2**18  # activations reduced at a time and thread
_GATHERED = 2**22  # activations copied at a time when positions are looked up


def maxima_and_sums(activations: Tensor, places: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Maxima and sums of maps, both (batch, channels); a maximum beside NaN may be anything.

    Both are taken of each part while it is in the cache. The bits of floats that are not negative
    are in the order of the floats, and integers are compared faster; a map whose greatest integer
    is negative has no float above -0.0.
    """
    if activations.device.type != "cpu" or activations.dtype != torch.float32:
        return activations.amax(places), activations.sum(places, dtype=torch.float32)
    integers = activations.view(torch.int32)
    size = max(1, _CACHED * torch.get_num_threads() // max(1, activations[0].numel()))
    parts = [slice(start, start + size) for start in range(0, len(activations), size)]
    reduced = [(integers[some].amax(places), activations[some].sum(places)) for some in parts]
    bits, sums = (torch.cat(each) for each in zip(*reduced, strict=True))
    below = (bits < 0).nonzero(as_tuple=True)
    if 4 * len(below[0]) > bits.numel():
        return activations.amax(places), sums
    maxima = bits.view(torch.float32)
    maxima[below] = activations[below].flatten(1).amax(1)
    return maxima, sums


def first_positions(
    activations: Tensor, values: Tensor, *, rows: Tensor, channels: Tensor
) -> Tensor:
    """Where each of these maps first holds its maximum; ``argmax`` would stop at a NaN."""
    maps = activations if activations.ndim > 2 else activations[..., None]
    device, size = maps.device, max(1, _GATHERED // max(1, maps[0, 0].numel()))
    found = [torch.empty(0, dtype=torch.int64, device=rows.device)]
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        some = maps[rows[part].to(device), channels[part].to(device)].flatten(1)
        equal = some == values[part][:, None].to(device, some.dtype)
        found.append(equal.view(torch.uint8).argmax(1).to(rows.device))
    return torch.cat(found)


def strongest(activations: Tensor) -> Tensor:
    """The maxima (batch, channels) of maps, float32 on the CPU; NaN only where all of a map is."""
    maps = activations.detach().float()
    maps = maps.flatten(2) if maps.ndim > 2 else maps[..., None]
    maxima = maps.amax(2)
    odd = maxima.isnan()
    if odd.any():
        some = maps[odd]
        rest = some.masked_fill(some.isnan(), -torch.inf).amax(1)
        maxima[odd] = rest.masked_fill(some.isnan().all(1), torch.nan)
    return maxima.cpu()
