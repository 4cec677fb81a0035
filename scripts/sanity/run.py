"""Do the maps mean anything? Sanity checks of a LeNet with F.relu, and of inner units.

A LeNet is trained on scikit-learn's digits and checked with Quantus, once with zennit's maps and
once with ours; class scores and inner units of the embedded network, and inner units of VGG-16 if
its weights are given, are checked with deconvnet.sanity. About ten minutes of one core.

Example:
  pip install -e ".[bench]" && python scripts/sanity/run.py --vgg16 vgg16_features.pth --readme
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from statistics import mean

import numpy as np
import torch
from tqdm import tqdm

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # to run this file by its path

from deconvnet.atomic import write_whole
from deconvnet.figures import ComparisonRow, comparison, save
from deconvnet.studies.sanity import Sanity
from scripts.report import paste, sentence, table, versions
from scripts.sanity import lenet, units

README = Path(__file__).with_name("README.md")
NEEDED = {"quantus": "quantus", "zennit": "zennit", "sklearn": "scikit-learn"}
SEEDS = (0, 1, 2)  # of the LeNet's training
DPI = 140
SHOWN = (0, 3, 7)  # classes of the digits in the figure
COLUMNS = ("gradient", "guided", "deconvnet")


def main(arguments: Sequence[str] | None = None) -> None:
    """Check the nets, draw two figures, and print the tables."""
    parser = argparse.ArgumentParser(
        description=str(__doc__).splitlines()[0],
        epilog='example: pip install -e ".[bench]" && python scripts/sanity/run.py',
    )
    parser.add_argument("--vgg16", metavar="FILE", help="its weights; without them it is left out")
    parser.add_argument("--only", choices=("lenet", "units"), help="default: both")
    parser.add_argument("--digits", type=int, default=20, help="that are explained (%(default)s)")
    parser.add_argument("--tiles", type=int, default=12, help="of photographs (%(default)s)")
    parser.add_argument("--photographs", type=int, default=6, help="for VGG-16 (%(default)s)")
    parser.add_argument("--readme", action="store_true", help="write the tables into README.md")
    parser.add_argument("-o", "--output", default="outputs/gallery", help="folder (%(default)s)")
    options = parser.parse_args(arguments)
    missing = [name for module, name in NEEDED.items() if not find_spec(module)]
    if options.only != "units" and missing:
        parser.error(f'{", ".join(missing)} not installed; pip install -e ".[bench]" first')
    if options.vgg16 and not Path(options.vgg16).is_file():
        parser.error(f"--vgg16 {options.vgg16}: no such file")
    if options.readme and (options.only or not options.vgg16):
        parser.error("--readme needs all rows: give --vgg16, and no --only")

    torch.set_num_threads(1)  # the last bits of a sum depend on how many threads share it
    folder, made = Path(options.output), {}
    if options.only != "units":
        made["lenet"] = of_lenet(folder, options.digits)
    if options.only != "lenet":
        cases = units.embedded(options.tiles)
        if options.vgg16:
            cases += units.vgg16(options.vgg16, options.photographs)
        else:
            print("VGG-16 is left out: give its weights with --vgg16", file=sys.stderr)
        made["units"] = of_units(folder, cases)
    text = "\n\n".join([*(TABLES[name](rows) for name, rows in made.items()), f"{told()}."])
    print(text)
    numbers = {name: [asdict(row) for row in rows] for name, rows in made.items()}
    write_whole(folder / "sanity.json", json.dumps(plain(numbers), indent=1).encode() + b"\n")
    if options.readme:
        paste(README, text, "sanity")


def of_lenet(folder: Path, count: int) -> list[lenet.Row]:
    """Train, check and draw the LeNets; the figure is of the first."""
    digits, found = lenet.Digits.load(), []
    for seed in tqdm(SEEDS, "LeNets", unit="net"):
        model, accuracy = lenet.trained(digits, seed)
        tqdm.write(f"LeNet {seed}: {accuracy:.1%} of unseen digits are classified rightly")
        if seed == SEEDS[0]:
            draw_lenet(folder, model, digits.unseen(count))
        found += lenet.rows(model, digits.unseen(count), seed)
    return found


def draw_lenet(folder: Path, model: lenet.LeNet, digits: tuple[torch.Tensor, torch.Tensor]) -> Path:
    """Digits, and their maps by both toolkits."""
    every = {key: lenet.maps_of(model, digits, one) for key, one in lenet.explainers().items()}
    keys = [("deconvnet", "gradient"), *((toolkit, rule) for rule in COLUMNS[1:]
            for toolkit in ("Quantus with zennit", "deconvnet"))]  # fmt: skip
    rows = [
        ComparisonRow(
            np.repeat(digits[0][number].numpy().transpose(1, 2, 0), 3, axis=2),
            [np.repeat(every[key][number].transpose(1, 2, 0), 3, axis=2) for key in keys],
        )
        for number in (int((digits[1] == one).nonzero()[0]) for one in SHOWN)
    ]
    names = {"Quantus with zennit": "by zennit", "deconvnet": "by deconvnet"}
    columns = ["digit", *(f"{rule}, {names[toolkit]}" for toolkit, rule in keys)]
    figure = comparison(rows, columns=columns, width="cvpr-full")
    how = {"model": "LeNet with F.relu, trained on scikit-learn's digits", "seed": str(SEEDS[0])}
    return save(figure, folder / "sanity-lenet.png", provenance=how, dpi=DPI)


def of_units(folder: Path, cases: Sequence[units.Case]) -> list[units.Row]:
    """Check class scores and units, and draw the last case but one of those that have positions."""
    found: list[units.Row] = []
    drawn: dict[str, Sanity] = {}
    for case in tqdm(cases, "nets and layers"):
        results = [units.checked(case, seed, progress=False) for seed in case.draws]
        found += units.rows(case, results)
        if case.layer:
            drawn.setdefault(case.name, results[0])
    *_, result = drawn.values()  # the highest layer of the last net
    shown = units.first_image(result)
    shown.save(folder / "sanity-units.png", dpi=DPI, provenance={"model": cases[-1].name})
    return found


def of_lenet_table(rows: Sequence[lenet.Row]) -> str:
    """One line a spelling, toolkit and rule: means over nets, and their range."""
    groups: dict[tuple[str, str, str], list[lenet.Row]] = {}
    for row in rows:
        groups.setdefault((row.net, row.toolkit, row.rule), []).append(row)
    first: Callable[[Sequence[lenet.Row]], lenet.Row] = lambda some: some[0]  # noqa: E731
    columns = {
        "rectifiers": lambda some: f"`{first(some).net}`",
        "maps by": lambda some: first(some).toolkit,
        "asked for": lambda some: first(some).rule,
        "off by": lambda some: f"{max(row.off for row in some):.2g}",
        "MPRT ↓": lambda some: ranged(row.mprt for row in some),
        "all random ↓": lambda some: ranged(row.last for row in some),
        "eMPRT ↑": lambda some: ranged(row.emprt for row in some),
    }
    return table(columns, groups.values())


def ranged(values: Iterator[float]) -> str:
    """The mean, and the least and greatest."""
    known = list(values)
    return f"{mean(known):.2f} ({min(known):.2f} to {max(known):.2f})"


def of_units_table(rows: Sequence[units.Row]) -> str:
    """One line a case and rule; of the controls those of the first case."""
    controls = [row.rule for row in rows if row.rule not in COLUMNS]
    kept = [row for row in rows if row.rule in COLUMNS]
    kept += [row for row in rows if row.rule in controls and row.target == rows[0].target]
    columns: dict[str, Callable[[units.Row], str]] = {
        "net": lambda row: row.net,
        "maps of": lambda row: row.target,
        "rule": lambda row: row.rule,
        "1 stage": lambda row: number(row.top),
        "all but 1": lambda row: f"{number(row.all_but_one)} ± {number(row.half)}",
        "all": lambda row: number(row.ssim),
        "two random": lambda row: number(row.pair),
        "ranks: all": lambda row: number(row.ranks),
        "ranks: two random": lambda row: number(row.pair_ranks),
        "other target": lambda row: number(row.logit),
        "convergence": lambda row: number(row.convergence),
        "eMPRT": lambda row: number(row.emprt),
    }
    return table(columns, kept)


TABLES = {"lenet": of_lenet_table, "units": of_units_table}


def number(value: float) -> str:
    """Two decimals; a dash where there is none."""
    return f"{value:.2f}" if math.isfinite(value) else "–"


def plain(value: object) -> object:
    """The same for JSON, which has no word for what is not a number."""
    if isinstance(value, dict):
        return {key: plain(one) for key, one in value.items()}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def told() -> str:
    """Versions, as the line below the tables."""
    return sentence(versions("quantus", "zennit", "scikit-learn", "torch", "numpy"))


if __name__ == "__main__":
    main()
