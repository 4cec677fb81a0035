"""``deconvnet compare``: gradient, deconvnet and guided side by side."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet import zoo
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.studies.compare import METHODS, compare
from deconvnet.units import Unit
from deconvnet.zoo.load import LoadedModel

from . import check_figure, drawn, load_images


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare, draw and save."""
    check_figure(options)
    loaded, names, images = load_images(options)
    result = compare(
        loaded.model,
        images,
        target=_unit(options, loaded),
        fallback=options.fallback,
        preprocessing=loaded.preprocessing,
        names=names,
        classes=zoo.class_names() if loaded.spec == "zoo:zfnet_mini" else (),
    )
    units = ", ".join(str(one.unit) for one in result.units)
    how = {"units": units, "rectifiers": ", ".join(METHODS), "images": ", ".join(names)}
    return drawn(result, options, loaded, how)


def _unit(options: argparse.Namespace, loaded: LoadedModel) -> Unit | None:
    """The unit that the options name, or None for the likeliest class of each image."""
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
