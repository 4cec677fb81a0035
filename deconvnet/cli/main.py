"""The command line: thin parsers over the public calls; torch is imported only to do work."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

import deconvnet
from deconvnet.arguments import expanded

from .options import add_lasting, add_max_bad
from .options import command as _command
from .options import numbers as _numbers
from .options import place as _place
from .options import triple as _triple
from .options import words as _words
from .store_options import add_store_commands, add_stored_pictures
from .text import plain_json, printable

EPILOG = "Every command has its own --help with an example."
MODULES = {"figure": "exemplars"}  # where a command is not called as its module is
_PATHS = ("model", "weights", "data", "output", "store", "parts", "images")  # of any command
# ours, the system's, and torch's own: out of memory is a RuntimeError
BAD_INPUT = (ValueError, LookupError, TypeError, OSError, ImportError, RuntimeError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; or 1 if ``verify`` found differences; or 2 after bad input, with one line on standard
        error that says what to do; or 130 after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    _expand(options)
    options.typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            run: Callable[[argparse.Namespace], dict[str, Any]] = import_module(
                f"deconvnet.cli.commands.{MODULES.get(options.command, options.command)}"
            ).run
            result = run(options)
        if options.json:
            print(json.dumps(plain_json(result), indent=2, default=str, allow_nan=False))
        sys.stdout.flush()
        return 1 if result.get("passed") is False else 0
    except BrokenPipeError:  # `deconvnet layers MODEL | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BAD_INPUT as error:
        first, *others = getattr(error, "lines", None) or [_one_line(error)]
        print(f"deconvnet: error: {printable(first)}", file=sys.stderr)
        for line in others:
            print(printable(line), file=sys.stderr)
        if options.json and hasattr(error, "details"):
            print(json.dumps(plain_json(error.details), indent=2))
        return 2
    except KeyboardInterrupt:
        print("deconvnet: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _expand(options: argparse.Namespace) -> None:
    """Replace ``~``, which the shell leaves in ``--weights=~/w.pth``."""
    for name in _PATHS:
        given = getattr(options, name, None)
        if isinstance(given, str):
            setattr(options, name, expanded(given))
        elif isinstance(given, list):
            setattr(options, name, [expanded(path) for path in given])


def _one_line(error: Exception) -> str:
    """What an error says; torch and HDF5 say it in paragraphs, a KeyError in quotes."""
    said = error.args[0] if isinstance(error, LookupError) and error.args else error
    return printable(" ".join(str(said).split())) or type(error).__name__


def _warn(message: Any, category: Any, *where: Any, **more: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"deconvnet: warning: {printable(str(message))}", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="deconvnet", description=deconvnet.__doc__.splitlines()[0], epilog=EPILOG
    )
    parser.add_argument("--version", action="version", version=deconvnet.__version__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _demo(commands)
    _layers(commands)
    _visualize(commands)
    _mine(commands)
    _merge(commands)
    _figure(commands)
    _compare(commands)
    add_store_commands(commands)
    return parser


def _demo(commands: Any) -> None:
    demo = _command(
        commands,
        "demo",
        "The whole job on the embedded model and photographs, offline.",
        "deconvnet demo",
    )
    demo.add_argument("-o", "--output", default="outputs/demo", help="folder (%(default)s)")


def _layers(commands: Any) -> None:
    layers = _command(
        commands,
        "layers",
        "List the layers of a model: kind, channels, map size, receptive field, stride, rule.",
        "deconvnet layers torchvision:resnet50 --size 224 --kinds Conv2d,ReLU",
    )
    _model(layers)
    layers.add_argument("--kinds", type=_words, help="K[,K...]: only layers of these kinds")
    layers.add_argument("--depth", type=int, help="one line a module at this depth of names")
    layers.add_argument(
        "--check", action="store_true", help="hold every node against the model itself, on noise"
    )
    _policy(layers)


def _visualize(commands: Any) -> None:
    visualize = _command(
        commands,
        "visualize",
        "Show what chosen channels of a layer respond to in photographs.",
        "deconvnet visualize torchvision:vgg16 --weights DEFAULT cat.jpg --layer features.22 "
        "--channel 42,77 -o cat.png",
    )
    _model(visualize)
    visualize.add_argument("images", nargs="+", metavar="IMAGE", help="photographs")
    visualize.add_argument("--layer", required=True, help="node name, see `deconvnet layers`")
    visualize.add_argument("--channel", required=True, type=_numbers, help="C[,C...]")
    visualize.add_argument(
        "--position", type=_place, help="ROW,COL in the map; default: the strongest"
    )
    visualize.add_argument(
        "--seed", default="activation", help="activation, one or map (%(default)s)"
    )
    _policy(visualize)
    _figure_options(visualize, "outputs/visualize.png")


def _mine(commands: Any) -> None:
    mine = _command(
        commands,
        "mine",
        "Find the k images that excite each unit most; write them to an HDF5 store.",
        "deconvnet mine torchvision:vgg16 --weights DEFAULT photos/ -o outputs/top9.h5 "
        "--layers features.22,features.29",
    )
    _model(mine)
    mine.add_argument(
        "data",
        metavar="DATA",
        help="folder of images, list of them (.txt), hf:PATH[:COLUMN], path/to/file.py:factory or "
        "package.module:factory",
    )
    mine.add_argument("-o", "--output", default="outputs/top9.h5", help="store (%(default)s)")
    mine.add_argument("--layers", type=_words, help="L[,L...]; default: all with units")
    mine.add_argument("-k", type=int, default=9, help="images per channel (%(default)s)")
    mine.add_argument("--batch-size", type=int, default=64, help="(%(default)s)")
    mine.add_argument("--workers", type=int, default=0, help="processes that read (%(default)s)")
    mine.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    add_lasting(mine)
    add_stored_pictures(mine)
    mine.add_argument("--strict", action="store_true", help="stop at an unreadable image")
    add_max_bad(mine)
    mine.add_argument(
        "--fingerprint",
        default="size",
        choices=("size", "content"),
        help="of the data set: by the size of every file, or by all its content (%(default)s)",
    )
    mine.add_argument("--nan", default="skip", help="NaN activations: skip or error (%(default)s)")


def _merge(commands: Any) -> None:
    merge = _command(
        commands,
        "merge",
        "Write the store of parts that several `mine` processes left, if none of them has.",
        "deconvnet merge outputs/top9.h5.parts -o outputs/top9.h5",
    )
    merge.add_argument("parts", metavar="DIR", help="the folder of parts, or one of copies of them")
    merge.add_argument("-o", "--output", default="outputs/top9.h5", help="store (%(default)s)")
    add_max_bad(merge)
    merge.add_argument("--model", help="MODEL, if not the one the parts name")
    merge.add_argument("--weights", help="its weights, if they have moved")


def _figure(commands: Any) -> None:
    figure = _command(
        commands,
        "figure",
        "Draw the grid of Zeiler & Fergus' figure 2 from a store.",
        "deconvnet figure outputs/top9.h5 --layer features.22 --channels strongest:12 -o fig2.pdf",
    )
    figure.add_argument("store", metavar="STORE", help="what `deconvnet mine` wrote")
    figure.add_argument("--layer", required=True, help="one of the store's layers")
    figure.add_argument(
        "--channels",
        default="strongest:12",
        help="0-15, 3,7,9, strongest:N or random:N (%(default)s)",
    )
    figure.add_argument("--model", help="MODEL, if not the one the store names")
    figure.add_argument("--weights", help="its weights, if they have moved")
    figure.add_argument("--data", help="DATA, if it has moved")
    figure.add_argument(
        "--recompute", action="store_true", help="from model and data, also where pictures are kept"
    )
    _policy(figure)
    _figure_options(figure, "outputs/figure2.pdf")


def _compare(commands: Any) -> None:
    compare = _command(
        commands,
        "compare",
        "Gradient, deconvnet and guided side by side, for a unit or a class score.",
        "deconvnet compare torchvision:vgg16 --weights DEFAULT cat.jpg dog.jpg -o methods.pdf",
    )
    _model(compare)
    compare.add_argument("images", nargs="+", metavar="IMAGE", help="photographs")
    compare.add_argument("--layer", help="node name, see `deconvnet layers`")
    compare.add_argument("--channel", type=int, help="its channel")
    compare.add_argument("--class", dest="class_", type=int, help="a class score; default: top 1")
    compare.add_argument(
        "--elsewhere", choices=("derivative", "rectify"), help="at activations without a rule"
    )
    _figure_options(compare, "outputs/methods.pdf")


def _model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "model",
        metavar="MODEL",
        help="torchvision:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory",
    )
    parser.add_argument(
        "--weights",
        help="a state dict or checkpoint (.pth, .safetensors), or DEFAULT: torchvision's own",
    )
    parser.add_argument("--size", type=int, help="side of the model's input, pixels")
    parser.add_argument("--mean", type=_triple, help="R,G,B of the normalisation")
    parser.add_argument("--std", type=_triple, help="R,G,B of the normalisation")
    parser.add_argument(
        "--white", type=int, help="value of white in 16-bit grey files: 4095 for 12 bits (65535)"
    )
    parser.add_argument(
        "--exif-transpose", action="store_true", help="turn photographs as their EXIF data say"
    )


def _policy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--rectifier",
        default="deconvnet",
        help="deconvnet, gradient, guided, identity or rectgrad(98) (%(default)s)",
    )
    parser.add_argument(
        "--elsewhere", choices=("derivative", "rectify"), help="at activations without a rule"
    )


def _figure_options(parser: argparse.ArgumentParser, output: str) -> None:
    parser.add_argument("-o", "--output", default=output, help=".pdf, .png or .svg (%(default)s)")
    parser.add_argument(
        "--width", default="cvpr-full", help="inches, or a paper's: icml, neurips, … (%(default)s)"
    )
