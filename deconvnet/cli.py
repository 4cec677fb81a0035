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

EPILOG = "Every command has its own --help with an example."
# ours, the system's, and torch's own: out of memory is a RuntimeError
BAD_INPUT = (ValueError, LookupError, TypeError, OSError, ImportError, RuntimeError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; or 2 after bad input, with one line on standard error that says what to do; or 130
        after Ctrl-C.
    """
    options = _parser().parse_args(arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            run: Callable[[argparse.Namespace], dict[str, Any]] = import_module(
                f"deconvnet.commands.{options.command}"
            ).run
            result = run(options)
        if options.json:
            print(json.dumps(result, indent=2, default=str))
        sys.stdout.flush()
    except BrokenPipeError:  # `deconvnet layers MODEL | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except BAD_INPUT as error:
        print(f"deconvnet: error: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("deconvnet: interrupted; nothing was written", file=sys.stderr)
        return 130
    return 0


def _one_line(error: Exception) -> str:
    """What an error says; torch and HDF5 say it in paragraphs, a KeyError in quotes."""
    said = error.args[0] if isinstance(error, LookupError) and error.args else error
    return " ".join(str(said).split()) or type(error).__name__


def _warn(message: Any, category: Any, *where: Any, **more: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"deconvnet: warning: {message}", file=sys.stderr)


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
    _figure(commands)
    _compare(commands)
    return parser


def _command(commands: Any, name: str, does: str, example: str) -> argparse.ArgumentParser:
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
    mine.add_argument("data", metavar="DATA", help="folder of images, or package.module:factory")
    mine.add_argument("-o", "--output", default="outputs/top9.h5", help="store (%(default)s)")
    mine.add_argument("--layers", type=_words, help="L[,L...]; default: all with units")
    mine.add_argument("-k", type=int, default=9, help="images per channel (%(default)s)")
    mine.add_argument("--batch-size", type=int, default=64, help="(%(default)s)")
    mine.add_argument("--workers", type=int, default=0, help="processes that read (%(default)s)")
    mine.add_argument("--device", default="auto", help="auto, cpu, cuda, … (%(default)s)")
    mine.add_argument("--strict", action="store_true", help="stop at an unreadable image")
    mine.add_argument("--nan", default="skip", help="NaN activations: skip or error (%(default)s)")


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
    parser.add_argument("--weights", help="a state dict (.pth, .safetensors), or DEFAULT")
    parser.add_argument("--size", type=int, help="side of the model's input, pixels")
    parser.add_argument("--mean", type=_triple, help="R,G,B of the normalisation")
    parser.add_argument("--std", type=_triple, help="R,G,B of the normalisation")


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


def _numbers(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected integers: 3,7") from None


def _words(text: str) -> list[str]:
    return [part for part in text.split(",") if part]


def _place(text: str) -> tuple[int, ...]:
    return tuple(_numbers(text))


def _triple(text: str) -> tuple[float, ...]:
    try:
        return tuple(float(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected R,G,B: .5,.5,.5") from None
