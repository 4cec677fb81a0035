"""What was measured, on which machine: kept in a JSON file, shown as tables."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from deconvnet.atomic import write_whole
from scripts.report import sentence, table, versions

from .rows import Row

Figures = dict[str, Any]
PEERS = ("captum", "zennit-crp")


def this_machine(device: str, threads: int) -> Figures:
    """The device, the processor, the number of threads and the versions of a measurement."""
    processor = torch.cuda.get_device_name(device) if device == "cuda" else _processor()
    made_with = versions(*PEERS, "torch", "torchvision")
    return {"device": device, "processor": processor, "threads": threads, "versions": made_with}


def _processor() -> str:
    """The processor's model name by lscpu; elsewhere what Python knows."""
    try:
        said = subprocess.run(
            ["lscpu"], env={**os.environ, "LC_ALL": "C"}, capture_output=True, text=True
        ).stdout
    except FileNotFoundError:
        said = ""
    names = [line.partition(":")[2] for line in said.splitlines() if line.startswith("Model name")]
    return names[0].strip() if names else platform.processor() or platform.machine()


def load(path: str | Path | None, machine: Figures) -> dict[str, Figures]:
    """The figures {key: figures} that a file holds; none if there is no file.

    Raises:
        ValueError: it was measured elsewhere, or with other versions; or it is another file.
    """
    if path is None or not Path(path).exists():
        return {}
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        there, rows = content["machine"], dict(content["rows"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a results file of this benchmark ({type(error).__name__}: {error}); "
            "give a file that this script wrote, or a new name"
        ) from error
    if there != machine:
        raise ValueError(
            f"{path} was measured on {said(there)}; here it is {said(machine)}: figures of two "
            "machines do not belong in one table, give another file"
        )
    return rows


def save(path: str | Path, machine: Figures, figures: dict[str, Figures]) -> None:
    """Write all figures as JSON, whole or not at all."""
    write_whole(path, f"{json.dumps({'machine': machine, 'rows': figures}, indent=1)}\n".encode())


def said(machine: Figures) -> str:
    """A machine and its versions in one line."""
    threads = f"{machine['threads']} thread{'s' * (machine['threads'] != 1)}"
    return f"{machine['processor']}, {threads}; {sentence(machine['versions'])}"


def markdown(machine: Figures, rows: Sequence[Row], figures: dict[str, Figures]) -> str:
    """A table for each kind of row that was measured, in the order of ``rows``."""
    kinds: dict[type, list[Figures]] = {}
    for row in rows:
        if row.key in figures:
            kinds.setdefault(type(row), []).append(figures[row.key])
    tables = [table(kind.columns, some) for kind, some in kinds.items()]
    return "\n\n".join([*tables, f"{said(machine)}."])
