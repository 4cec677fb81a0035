"""Which table of a store a study draws: of channels or of directions, the strongest or lowest."""

from __future__ import annotations

from deconvnet.store.format import escape
from deconvnet.store.table import DIRECTIONS, LayerTable
from deconvnet.units import Exemplar

STRONGEST, LOWEST = ENDS = ("strongest", "lowest")
CHANNELS = "channels"


def owner_at(table: LayerTable, layer: str, of: str) -> tuple[LayerTable, str]:
    """The tables of a layer's channels or of its directions, and where they stand in its group.

    Args:
        table: the layer's own.
        layer: its name.
        of: "channels"; "directions", if there is one set of them; or "directions/NAME".

    Raises:
        ValueError: another word, or the store holds no such directions.
    """
    if of == CHANNELS:
        return table, ""
    word, _, name = of.partition("/")
    known = list(table.directions)
    if word != DIRECTIONS:
        raise ValueError(f"of={of!r} was given, expected 'channels' or 'directions'")
    if not known:
        raise ValueError(
            f"the store holds no directions of {layer}; mine them: mine(..., directions="
            f"{{{layer!r}: V}}), or --directions {layer}=V.npy"
        )
    if (name and name not in known) or (not name and len(known) > 1):
        words = ", ".join(f"'directions/{each}'" for each in known)
        raise ValueError(f"of={of!r} was given; the directions of {layer} are {words}")
    name = name or known[0]
    return table.directions[name], f"{DIRECTIONS}/{escape(name)}"


def path_at(owner: LayerTable, start: str, end: str) -> str:
    """Where the strongest or the lowest of tables stand; see ``owner_at`` and ``LayerTable.every``.

    Raises:
        ValueError: another word, or the store holds no lowest.
    """
    if end not in ENDS:
        raise ValueError(f"end={end!r} was given, expected 'strongest' or 'lowest'")
    if end == LOWEST and owner.lowest is None:
        raise ValueError(
            "the store holds no lowest images; mine them: mine(..., lowest=9), or --lowest 9"
        )
    return f"{start}/{LOWEST}".lstrip("/") if end == LOWEST else start


def row_of(one: Exemplar, of: str, image: str | int) -> dict[str, object]:
    """A row of a table, in which a direction is not written as the channel of its number."""
    row = one.row(image)
    if of != CHANNELS:
        channel = f"{one.unit.layer}:{one.unit.channel}"
        direction = f"{one.unit.layer} {label_of(one.unit.channel, of)}"
        row["unit"] = str(one.unit).replace(channel, direction, 1)
    return row


def label_of(number: int, of: str) -> str:
    """A channel or direction in words: "direction 3"."""
    return f"{'channel' if of == CHANNELS else 'direction'} {number}"
