"""One file per command; its ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.studies.compare import Comparison
    from deconvnet.studies.visualize import Visualization
    from deconvnet.zoo.load import LoadedModel


def load_model(options: argparse.Namespace) -> LoadedModel:
    """Load the model that the options name, with the preprocessing they ask for."""
    from deconvnet.zoo.load import load

    changed: dict[str, object] = {"mean": options.mean, "std": options.std, "white": options.white}
    if options.exif_transpose:
        changed["orientation"] = "exif"
    changed |= {"size": options.size, "bands": getattr(options, "bands", None)}
    return load(options.model, options.weights, preprocessing=changed)


def load_images(options: argparse.Namespace) -> tuple[LoadedModel, list[str], Tensor]:
    """Load the model and the images of the options: names of files, and one preprocessed batch."""
    from pathlib import Path

    import torch

    loaded, files = load_model(options), options.images
    prepare = loaded.preprocessing
    images = [prepare.prepared(prepare.read(file), file) for file in files]
    return loaded, [Path(file).name for file in files], torch.stack(images)


def said(text: str, options: argparse.Namespace) -> None:
    """Print a message; to standard error with ``--json``, since standard output is for JSON."""
    import sys

    from deconvnet.cli.text import printable

    print(printable(text, kept="\n"), file=sys.stderr if options.json else sys.stdout)


def drawn(
    result: Visualization | Comparison,
    options: argparse.Namespace,
    loaded: LoadedModel,
    how: dict[str, str],
) -> dict[str, Any]:
    """Save the figure of a result with its provenance, and print its table."""
    made = {"model": loaded.spec, "weights": loaded.weights, **how}
    result.save(options.output, width=options.width, provenance=made)
    rows = result.table()
    for row in rows:
        said(f"{row['image']}: {row['unit']} = {row['activation']:.4g}, box {row['box']}", options)
    said(options.output, options)
    return {"figure": options.output, "units": rows}
