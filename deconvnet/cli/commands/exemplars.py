"""``deconvnet exemplars``: channels' top images beside their projections, from a store."""

from __future__ import annotations

import argparse
from typing import Any, cast

from deconvnet.data.resolve import mined_dataset
from deconvnet.graph.frontends import blank
from deconvnet.mining import fingerprint
from deconvnet.mining.source import the_model
from deconvnet.mining.stored_rules import stored_name
from deconvnet.store.store import Store, open_store
from deconvnet.studies.channels import read
from deconvnet.studies.exemplars import Exemplars, choose, exemplars, has_pictures
from deconvnet.zoo.load import LoadedModel

from . import check, mirrored, policies, said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    check(options)
    read(options.channels)
    store, layer = open_store(options.store), options.layer
    rectifier = stored_name(policies(options.rectifier, options))
    channels = choose(store[layer], options.channels)
    recompute = options.recompute or options.model or options.weights or options.data
    recompute = recompute or options.mean or options.std
    stored = not recompute and has_pictures(store, layer, rectifier, fallback=options.fallback)
    model, weights = (str(store.attributes.get(name) or "") for name in ("model", "weights"))
    if stored:
        result = exemplars(store, layer, channels, rectifier=rectifier, bands=options.bands)
    else:
        try:
            stated = {"mean": options.mean, "std": options.std}
            loaded = the_model(store, options.model, options.weights, stated=stated)
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
    net, (_, *shape) = mirrored(loaded, options), cast(Any, store.attributes["batch_shape"])
    fingerprint.check_mined(
        store.attributes,
        "model",
        fingerprint.of_model(net.graph, blank(net.model, shape)),
        advice="the model and weights it was mined with",
    )
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    return exemplars(
        store,
        options.layer,
        channels,
        net=net,
        data=data,
        preprocessing=loaded.preprocessing if loaded.stated else None,
        bands=options.bands,
    )
