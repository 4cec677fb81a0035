"""From one isolated unit down the mirrored network to the pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.graph.graph import Graph
from deconvnet.layers import Crop, Policies
from deconvnet.layers.packing import rounds
from deconvnet.units import Unit

from . import receptive_field
from .backward import descend
from .cone import Cone, ascend, cone_of
from .forward import Recording, Step
from .result import Found, by_layer
from .seeds import isolate, resolve, values_at

BUDGET = 512 * 2**20  # bytes that the signals of one pass may take; more units, more passes
NEAR = 32 * 2**20  # bytes of the largest value on windows; beyond, memory is the slower part
MOST = 96  # units at once on a CPU, which more would not make faster


@dataclass(frozen=True, eq=False)
class Part:
    """Units of one layer that are projected together.

    Args:
        numbers: which of the units.
        cone: where they look; None for whole maps.
    """

    numbers: Sequence[int]
    cone: Cone | None


def from_recording(recording: Recording, units: Sequence[Unit], *, seed: str) -> Iterator[Found]:
    """Carry the signal of each unit down to the pixels, as many at a time as fit.

    Zeiler & Fergus 2014, 2.1: "we set all other activations in the layer to zero and pass the
    feature maps as input to the attached deconvnet layer".

    Args:
        recording: of the images the units are of.
        units: as many as you like, of any recorded layers.
        seed: "activation", "one" or "map" (see ``isolate``).
    """
    units = [resolve(recording, unit) for unit in units]
    for layer, members in by_layer(units).items():
        some, maps = [units[i] for i in members], recording[layer]
        parts = None
        if seed != "map" and recording.apart:
            parts = cones(recording, some, policies=recording.policies, like=maps)
        if parts is None:
            parts = [Part(numbers, None) for numbers in _shared_out(recording, some)]
        for part in parts:
            chosen = [some[i] for i in part.numbers]
            values = values_at(maps, chosen)
            if part.cone is None:
                signal = _whole(recording, chosen, seed)
                crop = Crop.whole(_owners(chosen).numpy(), signal.shape[2:])
            else:
                cone = part.cone.among(range(recording.images))
                signal = _windows(recording.steps, cone, chosen, values, seed, recorded=True)
                crop = cone.lies(cone.input)
            yield Found([members[i] for i in part.numbers], chosen, values, signal, crop)


def from_images(
    graph_of: Callable[[Tensor], Graph],
    images: Tensor,
    parts: Sequence[Part],
    units: Sequence[Unit],
    *,
    seed: str,
    policies: Policies,
) -> Iterator[Found]:
    """Run images up and signals down on nothing but what units of one layer see.

    Args:
        graph_of: the graph of the model for some images.
        images: (batch, channels, *size).
        parts: of the units, each with its cone.
        units: with their positions.
        seed: "activation" or "one".
        policies: of the mirror.
    """
    for part in parts:
        assert part.cone is not None, "these units have cones"
        used: Sequence[int]
        chosen, used, some = [units[i] for i in part.numbers], range(len(images)), images
        if not part.cone.alone:  # only these images need go up as a whole
            used = sorted({unit.image for unit in chosen})
            some = images[used]
        cone = part.cone.among(used)
        steps, top = ascend(graph_of(some), some, cone, policies)
        values = top.flatten(1).gather(1, _channels(chosen, top)[:, None])[:, 0]
        signal = _windows(steps, cone, chosen, values, seed, recorded=False)
        yield Found(part.numbers, chosen, values, signal, cone.lies(cone.input))


def cones(
    geometry: Recording,
    units: Sequence[Unit],
    *,
    policies: Policies,
    like: Tensor,
    graph: Graph | None = None,
) -> list[Part] | None:
    """Units of one layer in parts that are projected together, each with its cone.

    Units that see boxes of one size are in one part: a window is as large as the largest of them.

    Args:
        geometry: a recording of images of this size up to the layer.
        units: of one layer, with their positions.
        policies: under which the signals will travel.
        like: any value of the network, for its type and device.
        graph: the model, if values will be made on windows too.

    Returns:
        None for a layer without positions, or one that runs on whole maps.
    """
    layer = units[0].layer
    places = np.asarray([unit.position or () for unit in units], dtype=np.int64)
    rows = np.asarray([unit.image for unit in units], dtype=np.int64)

    def cone(some: NDArray[np.int64]) -> Cone:
        return cone_of(
            geometry, layer, places[some], rows=rows[some], policies=policies, graph=graph
        )

    every = np.arange(len(units))
    whole = cone(every)
    if layer not in whole.seen:
        return None
    limit = _near(whole, like)
    if len(units) <= limit:
        return [Part(every.tolist(), whole)]
    if not geometry.separable:
        return [Part(part, cone(np.asarray(part))) for part in _in_rounds(units, limit)]
    starts, stops = receptive_field.boxes(geometry, layer, places)
    order = np.lexsort((stops - starts).T) if whole.alone else np.argsort(rows, kind="stable")
    parts = (order[first : first + limit] for first in range(0, len(order), limit))
    return [Part(part.tolist(), cone(part)) for part in parts]


def _near(cone: Cone, like: Tensor) -> int:
    """How many units at once keep the largest of their values small."""
    size = cone.largest * like.element_size()
    if like.device.type == "cpu":
        return min(MOST, max(1, NEAR // size))
    return max(1, BUDGET // size)


def _shared_out(recording: Recording, units: Sequence[Unit]) -> Iterator[list[int]]:
    """Numbers of units that are projected together by way of whole maps."""
    limit = _fitting(recording)
    if recording.apart and not recording.separable:
        yield from _in_rounds(units, limit)
        return
    for first in range(0, len(units), limit):
        yield list(range(first, min(len(units), first + limit)))


def _in_rounds(units: Sequence[Unit], limit: int) -> Iterator[list[int]]:
    """Numbers of units, so that few of them are of one image: they need a pass each.

    A round of one unit an image is not taken apart, though it be above the limit: autograd takes
    the whole batch in any case.
    """
    some: list[int] = []
    for turn in rounds([unit.image for unit in units]):
        if some and len(some) + len(turn) > limit:
            yield some
            some = []
        some = some + turn
    if some:
        yield some


def _fitting(recording: Recording) -> int:
    """How many signals at once stay within the budget: at a node there are up to four copies.

    Where a node mixes the images of a batch, a unit's signal may spread to all of them: then
    every unit travels alone, through the whole recording.
    """
    if not recording.apart:
        return 1
    largest = max(size.numel() / max(size[0], 1) for size in recording.sizes.values() if size)
    itemsize = next(iter(recording.activations.values())).element_size()
    return max(1, int(BUDGET / (4 * largest * itemsize)))


def _whole(recording: Recording, units: Sequence[Unit], seed: str) -> Tensor:
    """The pixels of units of one layer, by way of whole maps."""
    layer = units[0].layer
    owners, start = _owners(units), isolate(recording[layer], units, seed=seed)
    if recording.apart:
        in_order = torch.equal(owners, torch.arange(recording.images))
        rows, channels = None if in_order else owners, _channels(units, start)
        ends: list[str] = []
        signals = descend(recording.steps, layer, start, rows=rows, channels=channels, ends=ends)
        return _arrived(signals, recording.input, layer, [*recording.blocks, *ends])
    spread = start.new_zeros((recording.images, *start.shape[1:]))
    spread[owners] = start
    ends = []
    signals = descend(recording.steps, layer, spread, ends=ends)
    return _arrived(signals, recording.input, layer, [*recording.blocks, *ends])[owners]


def _arrived(signals: Mapping[str, Any], input: str, layer: str, ends: Sequence[str]) -> Tensor:
    """The signal at the images.

    Raises:
        ValueError: none arrives there.
    """
    found: Tensor | None = signals.get(input)
    if found is None:
        last = dict.fromkeys(ends) or signals
        raise ValueError(
            f"no signal reaches the images from {layer}: the path ends at {', '.join(last)}, where "
            "no derivative by what is below is taken (integers, rounding, detach, no_grad, or no "
            "use of the images at all); choose a layer below"
        )
    return found


def _windows(
    steps: Sequence[Step],
    cone: Cone,
    units: Sequence[Unit],
    values: Tensor,
    seed: str,
    *,
    recorded: bool,
) -> Tensor:
    """The pixels of units of one layer, by way of windows."""
    channels = _channels(units, values)
    start = values.new_zeros(cone.held[cone.layer].sized(cone.sizes[cone.layer]))
    isolated = torch.ones_like(values) if seed == "one" else values
    start.flatten(1).scatter_(1, channels[:, None], isolated[:, None])
    rows = torch.from_numpy(cone.rows)
    ends: list[str] = []
    signals = descend(
        steps, cone.layer, start, rows=rows, cone=cone, channels=channels, recorded=recorded,
        ends=ends,
    )  # fmt: skip
    return _arrived(signals, cone.input, cone.layer, ends)


def _owners(units: Sequence[Unit]) -> Tensor:
    return torch.tensor([unit.image for unit in units], dtype=torch.int64)


def _channels(units: Sequence[Unit], like: Tensor) -> Tensor:
    return torch.tensor([unit.channel for unit in units], dtype=torch.int64, device=like.device)
