"""Parts of an image covered by a colour: which one, and what a net makes of the rest."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.data import Preprocessing
from deconvnet.data.pictures import Prepares
from deconvnet.net import DeconvNet
from deconvnet.projection.changed import Rerun

from .values import AT_ONCE, bar, values


def filled(value: Any, prepared: Prepares, pixels: Tensor) -> Tensor:
    """What a square is filled with, (1, channels, 1, 1), on the scale of the net's input."""
    channels = pixels.shape[1]
    if value == "grey" and not isinstance(prepared, Preprocessing):
        raise ValueError(
            "value='grey' was given, and the preprocessing does not say what grey is; give the "
            "number of each channel, on the scale of the model's input"
        )
    if value == "grey":
        assert isinstance(prepared, Preprocessing)
        mean, std = (pixels.new_tensor(numbers) for numbers in (prepared.mean, prepared.std))
        made = (0.5 - mean) / std
    elif value == "mean":
        made = pixels.new_zeros(channels)
    elif isinstance(value, str):
        raise ValueError(f"value={value!r} was given; use grey, mean, or numbers")
    else:
        made = pixels.new_tensor(value).reshape(-1)
    if len(made) not in (1, channels) or not bool(made.isfinite().all()):
        raise ValueError(
            f"value={value!r} was given, expected one finite number or {channels}, one a channel"
        )
    return made.expand(channels).reshape(1, channels, 1, 1)


def covered(
    net: DeconvNet,
    pixels: Tensor,
    places: NDArray[np.int64],
    square: Tensor,
    *,
    layers: Sequence[str],
    progress: bool,
) -> Iterator[dict[str, Tensor]]:
    """What a net makes of an image with a square at places, of which it runs only what it must.

    Args:
        net: has seen images of this size.
        pixels: (1, channels, height, width).
        places: (places, 2) top and left of the square.
        square: (1, channels, height, width), its pixels.
        layers: whose values are asked for.
        progress: show a bar.

    Yields:
        {layer: (some places, channels, *size)}, place after place.
    """
    graph, rerun = net.graph, None
    if Rerun.possible(graph):
        geometry = net.geometry(tuple(pixels.shape[1:]))
        rerun = Rerun(graph, geometry, pixels, layers=layers)
    parts = [places[first : first + AT_ONCE] for first in range(0, len(places), AT_ONCE)]
    for some in bar(parts, "occlusion", total=len(parts), progress=progress):
        squares = square.expand(len(some), -1, -1, -1)
        if rerun is not None:
            yield rerun.of(some, squares)
        else:
            yield values(net, pasted(pixels, some, squares), layers, progress=False)


def pasted(image: Tensor, places: NDArray[np.int64], squares: Tensor) -> Tensor:
    """(places, channels, height, width): the image with a square at each place."""
    covered = image.repeat(len(places), 1, 1, 1)
    height, width = squares.shape[2:]
    for one, square, (top, left) in zip(covered, squares, places.tolist(), strict=True):
        one[:, top : top + height, left : left + width] = square
    return covered
