"""``deconvnet exemplars``: channels' top images beside their projections, from a store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.cli.mined import mined
from deconvnet.figures import suffix_of
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.store.store import open_store
from deconvnet.studies.exemplars import choose, exemplars, has_pictures

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
            net, data, loaded = mined(store, options)
            prepared = loaded.preprocessing
            result = exemplars(store, layer, channels, net=net, data=data, preprocessing=prepared)
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
