"""``deconvnet compare``: gradient, deconvnet and guided side by side."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet import zoo
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.net import DeconvNet
from deconvnet.projection.check.checked_graphs import settled
from deconvnet.studies.compare import check_signs, compare
from deconvnet.studies.targets import Target, check_exclusive, target_of
from deconvnet.zoo.load import LoadedModel

from . import drawn, load_net


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Compare, draw and save."""
    signs, targets = check_signs(options.sign), _targets(options)
    check_exclusive(options.layer, options.channel, targets)
    loaded, net = load_net(options, options.rectifiers[0])
    if options.layer is None and (targets is None or any(isinstance(t, int) for t in targets)):
        _check_trained(loaded, net)
    result = compare(
        net,
        options.images,
        layer=options.layer,
        channel=options.channel,
        target=targets,
        rectifiers=options.rectifiers,
        sign=signs,
        preprocessing=loaded.preprocessing,
        bands=options.bands,
        classes=zoo.class_names() if loaded.spec == "zoo:zfnet_mini" else (),
    )
    return drawn(result, options, loaded)


def _targets(options: argparse.Namespace) -> list[Target] | None:
    """What the options name, or None."""
    if options.target and options.class_ is not None:
        raise ValueError("give --target or --class, not both")
    if options.class_ is not None:
        return [options.class_]
    return [target_of(text) for text in options.target] if options.target else None


def _check_trained(loaded: LoadedModel, net: DeconvNet) -> None:
    """Refuse the class scores of a model whose weights do not reach them."""
    if not loaded.untrained:
        return
    output = settled(Graphs(net.model), blank(net.model, loaded.shape)).returned[0]
    if not loaded.trained(output):
        raise ValueError(
            f"the class scores ({output}) are not covered by the weights; give --layer and "
            f"--channel of a layer below {loaded.untrained[0]}"
        )
