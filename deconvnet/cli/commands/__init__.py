"""One file per command; its ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

    from deconvnet.net import DeconvNet
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


def study(options: argparse.Namespace) -> tuple[LoadedModel, DeconvNet]:
    """The model and its net under the rule of the options, after a look at the figure's name."""
    from pathlib import Path

    from deconvnet.figures import suffix_of
    from deconvnet.net import DeconvNet

    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    loaded = load_model(options)
    size = (3, *loaded.preprocessing.size)
    rule = getattr(options, "rectifier", "gradient")
    fallback = getattr(options, "fallback", None)
    return loaded, DeconvNet(loaded.model, rule, fallback=fallback, input_size=size)


def class_names(loaded: LoadedModel) -> Sequence[str] | None:
    """The names of a model's classes, as far as known; None if its scores are still random."""
    from deconvnet import zoo

    if loaded.untrained:
        return None
    return zoo.class_names() if loaded.spec == "zoo:zfnet_mini" else ()


def trained_classes(loaded: LoadedModel) -> Sequence[str]:
    """``class_names``, of a model whose scores must be trained."""
    names = class_names(loaded)
    if names is None:
        raise ValueError(
            f"the class scores are not covered by the weights, which end below "
            f"{loaded.untrained[0]}; give weights of the whole model"
        )
    return names


def mined(options: argparse.Namespace, loaded: LoadedModel) -> dict[str, Any]:
    """The store of the options and its data set, for exemplars beside a study."""
    from deconvnet.data.resolve import dataset
    from deconvnet.store.store import open_store

    store = open_store(options.store) if options.store else None
    data = dataset(options.data, loaded.preprocessing) if options.data else None
    return {"store": store, "data": data}


def finished(result: Shown, options: argparse.Namespace, loaded: LoadedModel) -> dict[str, Any]:
    """Save the figure of a study, say in a few lines what it holds, and give all of its rows."""
    made = {"model": loaded.spec, "weights": loaded.weights}
    result.save(options.output, width=options.width, provenance=made)
    said(f"{result!r}\n{options.output}", options)
    return {"figure": options.output, "rows": result.table()}
