"""What each command does, one file a command; ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from deconvnet.studies.draw import Photograph
    from deconvnet.zoo.load import LoadedModel


def load_model(options: argparse.Namespace) -> LoadedModel:
    """The model the options name, with its preprocessing as they say."""
    from deconvnet.zoo.load import load

    changed: dict[str, object] = {"mean": options.mean, "std": options.std, "white": options.white}
    if options.exif_transpose:
        changed["orientation"] = "exif"
    if options.size is not None:
        changed |= {
            "size": (options.size, options.size),
            "resize": round(options.size * 256 / 224),
        }
    return load(options.model, options.weights, preprocessing=changed)


def load_photographs(files: list[str], loaded: LoadedModel) -> list[Photograph]:
    """Photographs by file, preprocessed for the model."""
    from pathlib import Path

    from deconvnet.studies.draw import Photograph

    prepare = loaded.preprocessing
    return [Photograph(Path(file).name, prepare(prepare.read(file))) for file in files]


def said(text: str, options: argparse.Namespace) -> None:
    """Tell the person at the terminal; with --json standard output is kept for it."""
    import sys

    from deconvnet.cli.text import printable

    print(printable(text, kept="\n"), file=sys.stderr if options.json else sys.stdout)
