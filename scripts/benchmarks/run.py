"""Time and memory of this toolkit beside captum's and zennit-crp's, as tables in Markdown.

Results are compared first; then the sides run in turns in one process, A B A B, and each figure is
the median of the rounds, with the smallest and the largest beside it.

Example:
  pip install -e ".[bench]" && python scripts/benchmarks/run.py --only alexnet,features.7
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to run this file by its path

from deconvnet.mining.run.processors import usable_processors
from scripts.benchmarks.results import load, markdown, save, this_machine
from scripts.benchmarks.rows import ROWS
from scripts.benchmarks.timing import Setup
from scripts.report import paste

README = Path(__file__).with_name("README.md")
QUICK = ("alexnet,features.4", "alexnet,features.11", "alexnet,mining", "memory")


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure the rows that were asked for, print the tables, and write them where asked."""
    parser = _parser()
    options = parser.parse_args(arguments)
    only = options.only or (list(QUICK) if options.quick else [])
    rows = [row for row in ROWS if wanted(row.key, only)]
    if find_spec("captum") is None:
        parser.error('captum is not installed; pip install -e ".[bench]" first')
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda was given, but PyTorch sees no GPU; leave it out")
    if options.readme and options.quick:
        parser.error("--quick measures too little for README.md; leave one of the two out")
    if not rows:
        known = "\n  ".join(row.key for row in ROWS)
        parser.error(f"no row is called {' or '.join(only)}; the rows are\n  {known}")
    machine = this_machine(options.device, options.threads)
    try:
        figures = load(options.json, machine)
    except ValueError as error:
        parser.error(str(error))
    torch.set_num_threads(options.threads)
    weights = os.path.abspath(options.weights) if options.weights else ""
    setup = Setup(options.device, options.threads, 1 if options.quick else options.rounds, weights)
    failed = []
    for row in tqdm(rows, "measuring", unit="row"):
        try:
            figures[row.key] = (row.quick() if options.quick else row).measure(setup)
        except (ValueError, RuntimeError) as error:  # the other rows are measured all the same
            failed.append(f"{row.key}: {error}")
        if options.json:
            save(options.json, machine, figures)
    text = markdown(machine, ROWS, figures)
    print(text)
    if failed:
        sys.exit("\n".join(failed))
    if options.readme:
        paste(README, text, "benchmark")


def wanted(key: str, only: Sequence[str]) -> bool:
    """Whether a row's key has all words of one of the filters; without a filter, always."""
    words = key.split(",")
    return not only or any(all(word in words for word in one.split(",")) for one in only)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0],
        epilog='example: pip install -e ".[bench]" && python scripts/benchmarks/run.py --readme',
    )
    parser.add_argument("--only", action="append", default=[], metavar="WORDS",
                        help="rows with all of these words, such as vgg16,features.22 or "
                        "alexnet,mining or guided or memory; may be given again")  # fmt: skip
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument(
        "--threads",
        type=int,
        default=usable_processors(),
        help="of PyTorch; default: all processors that a container's quota allows",
    )
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--weights", help="a state dict of VGG-16; default: seeded weights")
    parser.add_argument("--quick", action="store_true", help="few units, to see that it runs")
    parser.add_argument("--json", metavar="FILE", help="keep all figures here; a later run adds")
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md")
    return parser


if __name__ == "__main__":
    main()
