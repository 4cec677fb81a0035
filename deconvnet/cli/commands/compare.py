"""``deconvnet compare``: gradient, deconvnet and guided side by side."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.figures import save, suffix_of
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.studies.draw import METHODS, draw_comparison, provenance
from deconvnet.units import Unit
from deconvnet.zoo.load import LoadedModel

from . import load_model, load_photographs, said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    loaded = load_model(options)
    photographs = load_photographs(options.images, loaded)
    unit = _unit(options, loaded)
    figure, numbers = draw_comparison(
        loaded,
        photographs,
        unit,
        elsewhere=options.elsewhere,
        width=options.width,
        classes=_classes(loaded),
    )
    how = provenance(
        loaded,
        units=", ".join(str(row["unit"]) for row in numbers),
        rectifiers=", ".join(METHODS),
        images=", ".join(p.name for p in photographs),
    )
    save(figure, options.output, provenance=how)
    for row in numbers:
        said(f"{row['image']}: {row['unit']} = {row['activation']:.4g}", options)
    said(options.output, options)
    return {"figure": options.output, "units": numbers}


def _unit(options: argparse.Namespace, loaded: LoadedModel) -> Unit | None:
    """The unit the options name: of a layer, a class score, or none for the likeliest class."""
    if (options.layer is None) != (options.channel is None):
        raise ValueError("--layer and --channel go together; give both, or --class, or neither")
    if options.layer is not None and options.class_ is not None:
        raise ValueError("give --layer and --channel, or --class, not both")
    image = blank(loaded.model, (3, *loaded.preprocessing.size))
    graph = settled(Graphs(loaded.model), image)
    if options.layer is not None:
        return Unit(graph.find(options.layer), options.channel)
    output = graph.returned[0]
    if not loaded.trained(output):
        raise ValueError(
            f"the class scores ({output}) are not covered by the weights; give --layer and "
            f"--channel of a layer below {loaded.untrained[0]}"
        )
    return None if options.class_ is None else Unit(output, options.class_)


def _classes(loaded: LoadedModel) -> list[str]:
    """Names of the model's classes, where they are known."""
    if loaded.spec == "zoo:zfnet_mini":
        from deconvnet import zoo

        return zoo.class_names()
    return []
