"""What a node of a cone reads, and what it sends below: windows of its sources."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from torch import Tensor

from deconvnet.layers.crop import Placed

from .cone import Cone


def cut(cone: Cone, name: str, values: Mapping[str, Any], *, own: Collection[str]) -> list[Tensor]:
    """What a node reads of its sources' values, with its padding beyond the maps.

    Args:
        cone: of units.
        name: of a node that runs on windows.
        values: {node: windows of its value, or all of it where the cone has none}.
        own: the nodes whose values may be written into, outside of the maps.

    Returns:
        (units, channels, *size) of each input; zeros in place of one that no unit sees.
    """
    outside, windows = cone.outside[name] or 0.0, dict[int, Tensor]()
    places = zip(cone.steps[name].sources, cone.seen[name], cone.places[name], strict=True)
    for number, (source, crop, place) in enumerate(places):
        if cone.unseen[name][number] is not None:
            continue
        value = values[str(source)]
        if source not in cone.held:
            windows[number] = crop.of(value, outside)
            continue
        if source == cone.input:
            value = cone.held[source].of(value, outside)
        window = value if place is None else place.of(value, outside)
        matters = cone.outside[name] is not None and crop is not cone.held[name]
        if matters and source != cone.input and cone.held[str(source)].leaves:
            storages = {x.untyped_storage().data_ptr() for x in (window, values[str(source)])}
            window = crop.filled(window, outside, in_place=source in own or len(storages) == 2)
        windows[number] = window
    like = next(iter(windows.values()))
    return [
        windows[number] if blank is None else like.new_zeros((), dtype=blank[1]).expand(blank[0])
        for number, blank in enumerate(cone.unseen[name])
    ]


def placed(
    cone: Cone, name: str, signals: Sequence[Tensor | None]
) -> tuple[Tensor | Placed | None, ...]:
    """The signals that a node sends below, where they lie in the windows of its sources.

    None for those that no unit sees.
    """
    lying: list[Tensor | Placed | None] = []
    for signal, place, blank in zip(signals, cone.places[name], cone.unseen[name], strict=True):
        if signal is None or blank is not None:
            lying.append(None)
        else:
            lying.append(signal if place is None else Placed(signal, place))
    return tuple(lying)
