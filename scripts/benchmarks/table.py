"""The benchmark's figures as tables in Markdown."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from .cases import Case
from .mining import Mining
from .results import Results
from .rows import Row
from .timing import number, spread

MARKS = ("<!-- benchmark -->", "<!-- /benchmark -->")
MIB = 2**20
UNITS = (
    "network", "layer", "units", "rule", "times faster", "ms a unit: deconvnet", "captum",
    "multiply-adds/s (forward = 1)", "peak MiB: deconvnet", "captum", "difference", "way",
)  # fmt: skip
MINING = (
    "network", "layers (channels)", "images", "forward alone, ms an image", "with a DataLoader",
    "plain script", "deconvnet", "second half", "zennit-crp", "once, s",
)  # fmt: skip


def markdown(results: Results) -> str:
    """Everything that was measured."""
    parts = []
    if results.rows:
        parts.append(table(UNITS, [units(case, row) for case, row in results.rows.values()]))
    if results.mining:
        parts.append(table(MINING, [mining(row) for row in results.mining.values()]))
    if results.memory:
        parts.append(memory(results.memory))
    return "\n\n".join([*parts, f"{results.machine}."])


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def units(case: Case, row: Row) -> list[str]:
    """A line of the first table."""
    difference = f"{row.error:.0e}" if row.error else "0"
    if row.tied:
        difference += f"; {row.tied} tied, {row.exact:.0e}"
    trained = f" with {Path(case.weights).name}" if case.weights else ""
    return [
        f"{case.network}{trained}",
        case.layer,
        f"{row.units} on {row.images} images",
        case.rule,
        spread(row.faster),
        number(row.each("ours")),
        number(row.each("captum")),
        spread(row.rate),
        number(row.peaks["ours"] / MIB),
        number(row.peaks["captum"] / MIB),
        difference,
        row.way,
    ]


def mining(row: Mining) -> list[str]:
    """A line of the second table."""
    crp = spread(row.over("zennit-crp")) if "zennit-crp" in row.seconds else "not installed"
    return [
        row.network,
        f"{row.layers} ({row.units})",
        f"{row.batches} × {row.batch}",
        number(row.each()),
        *(spread(row.over(side)) for side in ("loader", "plain", "ours")),
        spread(row.later),
        crp,
        spread(row.once),
    ]


def memory(found: dict[int, dict[str, int]]) -> str:
    """A sentence on many units in one call."""
    told = [
        f"{count:,} units: {number(one['peak'] / MIB)} MiB at the peak, of which "
        f"{number(one['results'] / MIB)} are the results"
        for count, one in sorted(found.items())
    ]
    return f"One call on the same images: {'; '.join(told)}."
