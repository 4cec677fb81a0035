"""``deconvnet exemplars``: channels' top images beside their projections, from a store."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.cli.mined import mined
from deconvnet.mining.stored_rules import stored_name
from deconvnet.store.store import open_store
from deconvnet.studies.channels import read
from deconvnet.studies.exemplars import choose, exemplars, has_pictures

from . import check, policies, said


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
            net, data, loaded = mined(store, options)
            result = exemplars(
                store,
                layer,
                channels,
                net=net,
                data=data,
                preprocessing=loaded.preprocessing if loaded.stated else None,
                bands=options.bands,
            )
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
