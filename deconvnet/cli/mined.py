"""What the commands on a store need: its model as a DeconvNet, and its data set."""

from __future__ import annotations

import argparse
from typing import Any, NamedTuple, cast

from deconvnet.cli.commands import mirrored
from deconvnet.data.resolve import mined_dataset
from deconvnet.graph.frontends import blank
from deconvnet.mining import fingerprint
from deconvnet.mining.source import the_model
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.zoo.load import LoadedModel


class Mined(NamedTuple):
    """The model and the data set of a store."""

    net: DeconvNet
    data: Any
    loaded: LoadedModel

    def told(self, store: Store) -> dict[str, object]:
        """How a figure of it was made."""
        return {
            "model": self.loaded.spec,
            "weights": self.loaded.weights,
            "dataset": store.attributes.get("dataset", ""),
            "model_fingerprint": store.attributes.get("model_fingerprint", ""),
        }


def mined(store: Store, options: argparse.Namespace) -> Mined:
    """Load the model that a store was mined with, as the options say, and open its data set.

    Raises:
        ValueError: it is another model, or the store does not say where model or data are.
    """
    stated = {name: getattr(options, name, None) for name in ("mean", "std")}
    loaded = the_model(store, options.model, options.weights, stated=stated)
    net, prepared = mirrored(loaded, options), loaded.preprocessing
    _, *shape = cast(tuple[int, ...], store.attributes["batch_shape"])
    fingerprint.check_mined(
        store.attributes,
        "model",
        fingerprint.of_model(net.graph, blank(net.model, tuple(shape))),
        advice="the model and weights it was mined with",
    )
    return Mined(net, mined_dataset(store.attributes, prepared, options.data), loaded)
