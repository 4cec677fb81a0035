"""Run the command line: parse, call one command, print its result or its error."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from deconvnet.arguments import by

from .command_line import parsed
from .text import plain_json, printable

# ours, the system's, and torch's own: out of memory is a RuntimeError
BAD_INPUT = (ValueError, LookupError, TypeError, OSError, ImportError, RuntimeError, MemoryError)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; or 1 if ``verify`` saw differences; or 2 after bad input, with one line on standard
        error that says what to do; or 130 after Ctrl-C.
    """
    options = parsed(arguments)
    options.typed = list(sys.argv[1:] if arguments is None else arguments)
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn
            run: Callable[[argparse.Namespace], dict[str, Any]] = import_module(
                f"deconvnet.cli.commands.{options.command.replace('-', '_')}"
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
        first += _sizes(error, options)
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


def _one_line(error: Exception) -> str:
    """The message of an error on one line; torch and HDF5 write paragraphs, a KeyError quotes."""
    said = error.args[0] if isinstance(error, LookupError) and error.args else error
    return printable(" ".join(str(said).split())) or type(error).__name__


def _sizes(error: Exception, options: argparse.Namespace) -> str:
    """What to do about images of a size that the model does not take."""
    shape = getattr(error, "misfit", ())
    if not shape or "size" not in vars(options):
        return ""
    given = f"--size {by(options.size).replace(' ', '')}" if options.size else "no --size"
    channels = "CHANNELS" if options.size else shape[0]  # read off the first layer, if not given
    axes = ("FRAMES", "HEIGHT", "WIDTH")[1 - len(shape) :] if len(shape) > 2 else ("LENGTH",)
    return (
        f"; {given} was given, so that images are {by(shape)}: give the size of the images that "
        f"the model was trained on, --size {'x'.join(map(str, (channels, *axes)))}"
    )


def _warn(message: Any, category: Any, *where: Any, **more: Any) -> None:
    if issubclass(category, UserWarning):
        print(f"deconvnet: warning: {printable(str(message))}", file=sys.stderr)
