"""DeconvNet and guided maps of this toolkit and its peers, against an independent reference.

The reference is tests/support/reference.py: the papers' rules as autograd functions in place of
every relu that a model runs. It shares no code with any of the toolkits. Each cell is the greatest
difference from it, relative to its greatest value, in float64.

Example:
  pip install -e ".[bench]" && python scripts/correctness.py
"""

from __future__ import annotations

import argparse
import json
import platform
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib.metadata import version

import torch
from correctness_cases import ROOT, Case, networks, spellings
from correctness_cells import METHODS, Cell, row
from correctness_peers import PEERS, Peer
from correctness_situations import situations
from readme_table import paste

from deconvnet.atomic import write_whole
from deconvnet.cli.progress import bar

Rows = dict[str, dict[str, dict[str, Cell]]]
MARKS = ("<!-- correctness -->", "<!-- /correctness -->")
TITLES = {"deconvnet": "deconv", "guided": "guided"}


def main() -> None:
    """Ask every toolkit for every model, print the table, and write it where asked."""
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0],
        epilog='example: pip install -e ".[bench]" && python scripts/correctness.py',
    )
    parser.add_argument("--markdown", metavar="FILE", help="write the table to a file as well")
    parser.add_argument("--readme", action="store_true", help="write it into README.md as well")
    parser.add_argument("--json", action="store_true", help="print figures to read by machine")
    options = parser.parse_args()
    missing = [peer.distribution for peer in PEERS.values() if not peer.version]
    if options.readme and missing:
        parser.error(f'{", ".join(missing)} not installed; pip install -e ".[bench]" first')

    torch.set_num_threads(1)  # the last bits of a sum depend on how many share it
    rows = measured([*spellings(), *situations(), *networks()], list(PEERS.values()))
    text = markdown(rows)
    print(as_json(rows) if options.json else text)
    if options.markdown:
        write_whole(options.markdown, f"{text}\n".encode())
    if options.readme:
        paste(ROOT / "README.md", text, MARKS)


def measured(cases: Sequence[Case], peers: Sequence[Peer]) -> Rows:
    """{model: {method: {toolkit: cell}}}."""
    rows = {}
    with bar(len(cases), "asking", unit="model") as report:
        for done, case in enumerate(cases, 1):
            rows[case.name] = row(case, peers)
            report(done, len(cases))
    return rows


def markdown(rows: Rows) -> str:
    """The table, and below it the versions it was made with."""
    first = next(iter(rows.values()))
    columns = [(method, name) for method in METHODS for name in first[method]]
    lines = [["model", *(f"{TITLES[method]}: {name}" for method, name in columns)]]
    lines.append(["---"] * len(lines[0]))
    for model, cells in rows.items():
        lines.append([model, *(str(cells[method][name]) for method, name in columns)])
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    return f"{table}\n\n{', '.join(f'{name} {n}' for name, n in versions().items())}."


def as_json(rows: Rows) -> str:
    """All figures, with the errors that toolkits raised in full."""
    plain: Mapping[str, object] = {
        model: {
            method: {name: asdict(cell) for name, cell in cells.items()}
            for method, cells in methods.items()
        }
        for model, methods in rows.items()
    }
    return json.dumps({"versions": versions(), "models": plain}, indent=2)


def versions() -> dict[str, str]:
    """Of the toolkits and of what they stand on."""
    found = {peer.name: peer.version or "(not installed)" for peer in PEERS.values()}
    below = {name: version(name) for name in ("torch", "torchvision", "numpy")}
    return {**found, **below, "Python": platform.python_version()}


if __name__ == "__main__":
    main()
