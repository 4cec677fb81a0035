"""``deconvnet exemplars``: channels' top images beside their projections, from a store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.data.resolve import mined_dataset
from deconvnet.figures import suffix_of
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.mining import fingerprint
from deconvnet.mining.source import the_model
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store, open_store
from deconvnet.studies.exemplars import Exemplars, choose, exemplars, has_pictures
from deconvnet.zoo.load import LoadedModel

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    suffix_of(Path(options.output))  # a wrong one is said before the work, not after
    store = open_store(options.store)
    layer, rectifier = options.layer, str(rectifier_named(options.rectifier))
    channels = choose(store[layer], options.channels)
    recompute = options.recompute or options.model or options.weights or options.data
    stored = not recompute and has_pictures(store, layer, rectifier, fallback=options.fallback)
    model, weights = (str(store.attributes.get(name) or "") for name in ("model", "weights"))
    if stored:
        result = exemplars(store, layer, channels, rectifier=rectifier)
    else:
        try:
            loaded = the_model(store, options.model, options.weights)
            result = _recomputed(store, loaded, options, channels=channels)
        except (ValueError, OSError) as error:
            pictures = store.pictures.get(layer)
            names = " or ".join(sorted(pictures.projections)) if pictures else ""
            if not names:
                raise
            hint = f"the store has pictures that need neither: --rectifier {names}"
            raise ValueError(f"{error}; {hint}") from error
        model, weights = loaded.spec, loaded.weights
    how = {
        "model": model,
        "weights": weights,
        "dataset": store.attributes.get("dataset", ""),
        "model_fingerprint": store.attributes.get("model_fingerprint", ""),
    }
    result.save(options.output, width=options.width, provenance=how)
    said(f"{options.output}: {len(channels)} channels of {layer}", options)
    if stored:
        said("drawn from the pictures in the store; --recompute uses model and data", options)
    source = "stored" if stored else "recomputed"
    return {"figure": options.output, "layer": layer, "channels": channels, "pictures": source}


def _recomputed(
    store: Store, loaded: LoadedModel, options: argparse.Namespace, *, channels: list[int]
) -> Exemplars:
    """Compute the exemplars from the model and the data set."""
    prepared = loaded.preprocessing
    size = (3, *prepared.size)
    net = DeconvNet(loaded.model, options.rectifier, fallback=options.fallback, input_size=size)
    fingerprint.check_mined(
        store.attributes,
        "model",
        fingerprint.of_model(net.graph),
        advice="the model and weights it was mined with",
    )
    data = mined_dataset(store.attributes, prepared, options.data)
    return exemplars(store, options.layer, channels, net=net, data=data, preprocessing=prepared)
