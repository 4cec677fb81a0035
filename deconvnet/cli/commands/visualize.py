"""``deconvnet visualize``: chosen channels in photographs."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.figures import save, suffix_of
from deconvnet.net import DeconvNet
from deconvnet.studies.draw import draw_units, provenance
from deconvnet.units import Unit

from . import load_model, load_photographs, said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    loaded = load_model(options)
    photographs = load_photographs(options.images, loaded)
    size = (3, *loaded.preprocessing.size)
    net = DeconvNet(loaded.model, options.rectifier, elsewhere=options.elsewhere, input_size=size)
    layer = net.graph.find(options.layer)
    units = [Unit.at(layer, channel, position=options.position) for channel in options.channel]
    figure, numbers = draw_units(
        net, loaded, photographs, units, seed=options.seed, width=options.width
    )
    how = provenance(
        loaded,
        layer=layer,
        channels=",".join(map(str, options.channel)),
        rectifier=net.policies.rectifier.name,
        seed=options.seed,
        images=", ".join(p.name for p in photographs),
    )
    save(figure, options.output, provenance=how)
    for row in numbers:
        said(f"{row['image']}: {row['unit']} = {row['activation']:.4g}, box {row['box']}", options)
    said(options.output, options)
    return {"figure": options.output, "units": numbers}
