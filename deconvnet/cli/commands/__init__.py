"""One file per command; its ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.studies.compare import Comparison
    from deconvnet.studies.result import Shown
    from deconvnet.studies.visualize import Visualization
    from deconvnet.zoo.load import LoadedModel


def load_model(options: argparse.Namespace) -> LoadedModel:
    """Load the model that the options name, with the preprocessing they ask for."""
    from deconvnet.zoo.load import load

    changed: dict[str, object] = {"mean": options.mean, "std": options.std, "white": options.white}
    if options.exif_transpose:
        changed["orientation"] = "exif"
    if options.size is not None:
        size = options.size
        changed |= {"size": (size, size), "resize": round(size * 256 / 224)}
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


def check_figure(options: argparse.Namespace) -> None:
    """Check the name and the width of the figure to write, before the work and not after it.

    Raises:
        ValueError: another suffix than those of figures, or no such width.
    """
    from pathlib import Path

    from deconvnet.figures import suffix_of, width

    suffix_of(Path(options.output))
    width(options.width)


def saved(result: Shown, options: argparse.Namespace, how: dict[str, Any]) -> None:
    """Save the figure of a result as the options say, with its provenance."""
    result.save(
        options.output,
        width=options.width,
        title=options.title,
        caption=options.caption,
        provenance=how,
    )


def drawn(
    result: Visualization | Comparison,
    options: argparse.Namespace,
    loaded: LoadedModel,
    how: dict[str, str],
) -> dict[str, Any]:
    """Save the figure of a result with its provenance, and print its table."""
    made = {"model": loaded.spec, "weights": loaded.weights, **how}
    saved(result, options, made)
    rows = result.table()
    for row in rows:
        said(f"{row['image']}: {row['unit']} = {row['activation']:.4g}, box {row['box']}", options)
    said(options.output, options)
    return {"figure": options.output, "units": rows}
