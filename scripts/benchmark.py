"""The same units on the same images by captum and by this toolkit: time, memory, and mining.

Results are compared first; then the sides run in turns in one process, A B A B, and each figure is
the median of the rounds, with the smallest and the largest beside it.

Example:
  pip install -e ".[bench]" && python scripts/benchmark.py --only alexnet,features.7
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import benchmark_memory as memory
import benchmark_mining
import benchmark_rows
import torch
from benchmark_cases import RULES, Case, cases
from benchmark_results import Results, cores, results, this_machine
from benchmark_table import MARKS, markdown
from readme_table import paste

from deconvnet.cli.progress import bar

ROOT = Path(__file__).resolve().parents[1]
COUNTS = (100, 1_000, 10_000)
QUICK = ("alexnet,features.4", "alexnet,features.11", "alexnet,mining", "memory")


def main() -> None:
    """Measure what was asked for, print the tables, and write them where asked."""
    parser, options = _options()
    if find_spec("captum") is None:
        parser.error('captum is not installed; pip install -e ".[bench]" first')
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda was given and torch sees no GPU; leave it out")
    if options.readme and options.quick:
        parser.error("--quick measures too little for README.md; leave one of the two out")
    torch.set_num_threads(options.threads)
    try:
        found = results(this_machine(options.device, options.threads), options.json)
    except ValueError as error:
        parser.error(str(error))
    jobs = {key: job for key, job in _jobs(options, found).items() if wanted(key, options.only)}
    if not jobs:
        parser.error(f"nothing is called {' or '.join(options.only)}; see the keys in --json")
    failed = run(jobs, found, options.json)
    print(markdown(found))
    if failed:
        sys.exit("\n".join(failed))
    if options.readme:
        paste(ROOT / "README.md", markdown(found), MARKS)


def run(jobs: dict[str, Callable[[], None]], found: Results, path: str | None) -> list[str]:
    """Do the jobs, save after each; what failed is told and the others are done all the same."""
    failed = []
    with bar(len(jobs), "measuring", unit="row") as report:
        for done, (key, job) in enumerate(jobs.items(), 1):
            try:
                job()
            except (ValueError, RuntimeError) as error:
                failed.append(f"{key}: {error}")
            if path:
                found.save(path)
            report(done, len(jobs))
    return failed


def wanted(key: str, only: list[str]) -> bool:
    """Whether a row's key holds all parts of one of the filters; without a filter, always."""
    parts = key.split(",")
    return not only or any(all(p in parts for p in one.split(",")) for one in only)


def _options() -> tuple[argparse.ArgumentParser, argparse.Namespace]:
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0],
        epilog='example: pip install -e ".[bench]" && python scripts/benchmark.py --readme',
    )
    parser.add_argument("--only", action="append", default=[], metavar="PARTS",
                        help="rows whose key holds all of these, such as vgg16,features.22 or "
                        "alexnet,mining or guided; may be given more than once")  # fmt: skip
    parser.add_argument("--mining", action="store_true", help="the second table alone")
    parser.add_argument("--memory", action="store_true", help="many units in one call, alone")
    parser.add_argument("--rectifier", choices=(*RULES, "both"), default="both")
    parser.add_argument("--rounds", type=int, default=3, help="(%(default)s)")
    parser.add_argument("--threads", type=int, default=cores(), help="all cores: %(default)s")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument("--weights", default="", help="a state dict of VGG-16; else seeded weights")
    parser.add_argument("--quick", action="store_true", help="few units, to see that it runs")
    parser.add_argument("--json", metavar="FILE", help="keep all figures here; a later run adds")
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md too")
    options = parser.parse_args()
    options.only += ["mining"] * options.mining + ["memory"] * options.memory
    if options.quick:
        options.rounds, options.only = 1, options.only or list(QUICK)
    if options.weights:
        options.weights = os.path.abspath(options.weights)
    return parser, options


def _jobs(options: argparse.Namespace, found: Results) -> dict[str, Callable[[], None]]:
    """{key: what fills in the row}."""
    few = {"channels": 2, "images": 2} if options.quick else {}
    rules = RULES if options.rectifier == "both" else (options.rectifier,)
    device, rounds, threads = options.device, options.rounds, options.threads
    jobs: dict[str, Callable[[], None]] = {}

    def unit(case: Case) -> None:
        row = benchmark_rows.row(case, rounds=rounds, device=device, threads=threads)
        found.rows[case.key] = (case, row)

    def mine(network: str) -> None:
        size = (2, 4) if options.quick else benchmark_mining.BATCHES[network]
        row = benchmark_mining.row(network, size, rounds=rounds, device=device)
        found.mining[row.key] = row

    def many() -> None:
        counts = (10, 20) if options.quick else COUNTS
        found.memory = memory.of_many(counts, device=device, threads=threads)

    for case in cases(rules=rules, weights=options.weights, **few):
        jobs[case.key] = lambda case=case: unit(case)
    for network in benchmark_mining.BATCHES:
        jobs[f"{network},mining"] = lambda network=network: mine(network)
    jobs["alexnet,memory"] = many
    return jobs


if __name__ == "__main__":
    main()
