"""Compare the DeconvNet and guided maps of this toolkit and its peers with a reference.

The reference is tests/support/reference.py: the papers' rules as autograd functions in place of
every relu that a model runs. It shares no code with any of the toolkits. Each cell is the greatest
difference from it, relative to its greatest value, in float64.

Example:
  pip install -e ".[bench]" && python scripts/correctness/run.py
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to run this file by its path

from deconvnet.atomic import write_whole
from scripts.correctness.cases import CASES
from scripts.correctness.cells import METHODS, Cell, row
from scripts.correctness.peers import PEERS
from scripts.report import paste, sentence, table, versions

README = Path(__file__).with_name("README.md")
TITLES = {"deconvnet": "deconv", "guided": "guided"}
Cells = dict[str, dict[str, Cell]]  # {method: {toolkit: cell}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Ask every toolkit for every model, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0],
        epilog='example: pip install -e ".[bench]" && python scripts/correctness/run.py',
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the table to a file as well")
    parser.add_argument("--readme", action="store_true", help="write it into README.md as well")
    parser.add_argument("--json", action="store_true", help="print figures for other programs")
    options = parser.parse_args(arguments)
    missing = [peer.distribution for peer in PEERS if not peer.version]
    if options.readme and missing:
        parser.error(f'{", ".join(missing)} not installed; pip install -e ".[bench]" first')

    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    rows = {case.name: row(case, PEERS) for case in tqdm(CASES, "comparing", unit="model")}
    text = markdown(rows)
    print(as_json(rows) if options.json else text)
    if options.markdown:
        write_whole(options.markdown, f"{text}\n".encode())
    if options.readme:
        paste(README, text, "correctness")


def markdown(rows: dict[str, Cells]) -> str:
    """The table, and below it the versions it was made with."""
    columns = {"model": lambda item: item[0]}
    for method in METHODS:
        for peer in PEERS:
            if method in peer.methods:
                columns[f"{TITLES[method]}: {peer.name}"] = (
                    lambda item, method=method, name=peer.name: str(item[1][method][name])
                )
    return f"{table(columns, rows.items())}\n\n{sentence(_versions())}."


def as_json(rows: dict[str, Cells]) -> str:
    """All figures, with the errors that toolkits raised in full."""
    models = {
        model: {
            method: {name: asdict(cell) for name, cell in cells.items()}
            for method, cells in methods.items()
        }
        for model, methods in rows.items()
    }
    return json.dumps({"versions": _versions(), "models": models}, indent=2)


def _versions() -> dict[str, str]:
    return versions(*(peer.distribution for peer in PEERS), "torch", "torchvision", "numpy")


if __name__ == "__main__":
    main()
