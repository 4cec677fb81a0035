"""What options of the command line are made of: their types, and those of runs in processes."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.mining.run.bad_images import DEFAULT, Limit


def command(commands: Any, name: str, does: str, example: str) -> argparse.ArgumentParser:
    """A parser of a command: what it does, an example below its help, and ``--json``."""
    parser: argparse.ArgumentParser = commands.add_parser(
        name,
        help=does,
        description=does,
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--json", action="store_true", help="print the result as JSON on standard output"
    )
    return parser


def add_lasting(parser: argparse.ArgumentParser) -> None:
    """Options of a run that takes long, may be interrupted, and may be shared."""
    parser.add_argument(
        "--restart", action="store_true", help="do everything again, and replace what is there"
    )
    parser.add_argument(
        "--discard-groups",
        action="store_true",
        help="replace a store even if groups were added to it, which are lost then",
    )
    parser.add_argument(
        "--save-every", type=float, default=30.0, help="seconds between checkpoints (%(default)s)"
    )
    parser.add_argument(
        "--threads", type=int, help="of the CPU; default: as begun, else as PyTorch chooses"
    )
    parser.add_argument(
        "--shard", metavar="I/N", help="process I of N, from 0; default: as torchrun or SLURM say"
    )


def add_max_bad(parser: argparse.ArgumentParser) -> None:
    """The option of how many images may be unreadable."""
    parser.add_argument(
        "--max-bad",
        type=_limit,
        default=DEFAULT,
        metavar="N",
        help="images that may be unreadable: a number, or a share such as 5%% (default: 1%%)",
    )


def _limit(text: str) -> str:
    try:
        Limit(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected 20 or 1%") from None
    return text


def numbers(text: str) -> list[int]:
    """Integers: 3,7."""
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected integers: 3,7") from None


def some(text: str) -> int | None:
    """A number, or all."""
    if text == "all":
        return None
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected a number or all") from None


def words(text: str) -> list[str]:
    """Words: relu2,relu4."""
    found = [part for part in text.split(",") if part]
    if not found:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected words: relu2,relu4")
    return found


def place(text: str) -> tuple[int, ...]:
    """A position: ROW,COL."""
    return tuple(numbers(text))


def triple(text: str) -> tuple[float, ...]:
    """Numbers of three colours: .5,.5,.5."""
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected R,G,B: .5,.5,.5") from None
