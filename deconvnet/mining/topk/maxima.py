"""Reduce feature maps to a number each: maxima, sums, and the position of a maximum."""

from collections.abc import Callable

import torch
from torch import Tensor

_READ = 8  # maps are read as one for an eighth of them
_GATHERED = 2**22  # activations copied at a time when positions are looked up


def maxima_and_sums(activations: Tensor, places: tuple[int, ...]) -> tuple[Tensor, Tensor]:
    """Maxima and sums of maps, both (batch, channels); a maximum beside NaN may be anything.

    Each is one operation on the whole batch. Parts that fit into the cache are no slower on one
    thread; but several threads wait for each other after every operation, and where other
    processes use the same cores, each wait may last as long as another process's turn.
    """
    return activations.amax(places), activations.sum(places, dtype=torch.float32)


def minima(activations: Tensor) -> Tensor:
    """The minima (batch, channels) of maps, float32; NaN only where all of a map is."""
    places = tuple(range(2, activations.ndim))
    return _patched(activations, activations.amin(places) if places else activations, _least)


def spatial_means(activations: Tensor) -> Tensor:
    """The means (batch, channels) of maps, float32, without NaN; NaN only where all of a map is.

    Float32 sums, as PyTorch adds them, rounded once more; of maps that are not finite, or too large
    for that, float64 sums.
    """
    places = tuple(range(2, activations.ndim))
    if not places:
        return activations.float() + 0.0
    sums = activations.sum(places, dtype=torch.float32)
    count = activations[0, 0].numel() if len(activations) else 1
    means = torch.where(sums.isfinite(), (sums.double() / count).float(), torch.nan)
    return _patched(activations, means, _mean)


def _patched(activations: Tensor, reduced: Tensor, again: Callable[[Tensor], Tensor]) -> Tensor:
    """What maps are reduced to, reduced again one by one where it is NaN."""
    reduced = reduced.float() + 0.0  # -0.0 + 0.0 is 0.0
    odd = reduced.isnan().nonzero(as_tuple=True)
    if len(odd[0]):
        maps = activations if activations.ndim > 2 else activations[..., None]
        reduced[odd] = again(maps[odd].flatten(1).float()) + 0.0
    return reduced


def _least(maps: Tensor) -> Tensor:
    nan = maps.isnan()
    return maps.masked_fill(nan, torch.inf).amin(1).masked_fill(nan.all(1), torch.nan)


def _most(maps: Tensor) -> Tensor:
    nan = maps.isnan()
    return maps.masked_fill(nan, -torch.inf).amax(1).masked_fill(nan.all(1), torch.nan)


def _mean(maps: Tensor) -> Tensor:
    nan = maps.isnan()
    return (maps.double().masked_fill(nan, 0.0).sum(1) / (~nan).sum(1)).float()


def entries(values: Tensor, rows: Tensor, channels: Tensor) -> Tensor:
    """Some of the values (batch, channels), which indexing would share among threads."""
    return values.reshape(-1).index_select(0, rows * values.shape[1] + channels)


def first_positions(
    activations: Tensor,
    values: Tensor,
    *,
    rows: Tensor,
    channels: Tensor,
    extreme: Callable[..., Tensor] = torch.amax,
) -> Tensor:
    """Where each of these maps first holds its value; ``argmax`` would stop at a NaN.

    The values are what ``extreme``, ``torch.amax`` or ``torch.amin``, gives of the maps.
    """
    if activations.ndim == 2:
        return torch.zeros_like(rows)
    maps = activations
    if _READ * len(rows) >= len(maps) * maps.shape[1]:
        positions = _by_lines(maps, values.to(maps.device, maps.dtype), rows, channels, extreme)
        if positions is not None:
            return positions.to(rows.device)
    device, size = maps.device, max(1, _GATHERED // max(1, maps[0, 0].numel()))
    places = [torch.empty(0, dtype=torch.int64, device=rows.device)]
    for start in range(0, len(rows), size):
        part = slice(start, start + size)
        some = maps[rows[part].to(device), channels[part].to(device)].flatten(1)
        equal = some == values[part][:, None].to(device, some.dtype)
        places.append(equal.view(torch.uint8).argmax(1).to(rows.device))
    return torch.cat(places)


def _by_lines(
    maps: Tensor, values: Tensor, rows: Tensor, channels: Tensor, extreme: Callable[..., Tensor]
) -> Tensor | None:
    """The first positions, by the line and then the place in it; None where that does not go.

    One map of several that lie channels last is read a cache line for each number, so that all
    of them are read sooner. A NaN hides what else is in its line.
    """
    last = maps.movedim(1, -1)
    if last.ndim < 4 or not last.is_contiguous():
        return None
    every = last.view(len(maps), -1, *last.shape[-2:])  # (batch, lines, wide, channels)
    rows, channels, wanted = rows.to(maps.device), channels.to(maps.device), values[:, None]
    lines = extreme(every, 2)[rows, :, channels]  # (entries, lines)
    if lines.isnan().any():
        return None
    line = _first(lines == wanted)
    within = every[rows, line, :, channels] == wanted
    return line * every.shape[2] + _first(within) if within.any(1).all() else None


def every_position(activations: Tensor, values: Tensor, rows: list[int]) -> Tensor:
    """Where all maps (channels, rows) of some rows first hold their values, as above.

    First the line of a map, then the place in the line: the maxima of lines are read at the pace
    of memory, and what is compared is small. The values are the maxima of the maps.
    """
    if activations.ndim == 2:
        return torch.zeros_like(values[rows].T, dtype=torch.int64)
    maps, many = activations.movedim(1, -1), 2 * len(rows) > len(activations)
    maps, chosen = (maps, rows) if many else (maps[rows], slice(None))
    count, *_, wide, channels = maps.shape
    wanted = values[rows].to(maps.device, maps.dtype)
    if maps.ndim > 3 and maps.is_contiguous():  # channels last, as they usually lie
        lines = maps.view(-1, wide, channels).amax(1).view(count, -1, channels)[chosen]
        line = _first(lines == wanted[:, None])
        if not lines.isnan().any() and torch.equal(lines.gather(1, line[:, None])[:, 0], wanted):
            every = maps.view(count, -1, wide, channels)
            own = torch.arange(count, device=maps.device)[chosen][:, None]
            each = torch.arange(channels, device=maps.device)
            within = every[own, line, :, each] == wanted[..., None]  # (rows, channels, wide)
            column = within.view(torch.uint8).max(2).indices
            return (line * wide + column).T.to(values.device)
    return _first(maps[chosen].flatten(1, -2) == wanted[:, None]).T.to(values.device)


def _first(equal: Tensor) -> Tensor:
    """Which of axis 1 is the first that is True; of several equal ones PyTorch gives the first."""
    return equal.view(torch.uint8).max(1).indices


def strongest(activations: Tensor) -> Tensor:
    """The maxima (batch, channels) of maps, float32; NaN only where all of a map is."""
    places = tuple(range(2, activations.ndim))
    return _patched(activations, activations.amax(places) if places else activations, _most)


def ranked_by(rank: str, activations: Tensor, *, lowest: bool = False) -> Tensor:
    """What images are ranked by, (batch, channels): means by "mean", else maxima or minima."""
    maps = activations.detach().float()
    if rank == "mean":
        return spatial_means(maps)
    return minima(maps) if lowest else strongest(maps)
