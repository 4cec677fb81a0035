"""``deconvnet exemplars``: channels' top images beside their projections, from a store."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.arguments import counted
from deconvnet.cli.mined import Mined, mined
from deconvnet.mining.stored_rules import stored_name
from deconvnet.store.picture_reading import pictures_at
from deconvnet.store.store import Store, open_store
from deconvnet.studies.channels import read
from deconvnet.studies.exemplars import Exemplars, choose, exemplars, has_pictures
from deconvnet.studies.stored import owner_at, path_at

from . import check, policies, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw and save."""
    check(options)
    read(options.channels)
    store, layer = open_store(options.store), options.layer
    rectifier = stored_name(policies(options.rectifier, options))
    owner, start = owner_at(store[layer], layer, options.of)
    channels, path = choose(owner, options.channels), path_at(owner, start, options.end)
    recompute = options.recompute or options.model or options.weights or options.data
    recompute = recompute or options.mean or options.std
    stored = not recompute and has_pictures(
        store, layer, rectifier, fallback=options.fallback, path=path
    )
    model, weights = (str(store.attributes.get(name) or "") for name in ("model", "weights"))
    if stored:
        result = _result(store, options, channels, rectifier=rectifier)
    else:
        try:
            source = mined(store, options)
            result = _result(store, options, channels, source=source)
        except (ValueError, OSError) as error:
            pictures = pictures_at(store, layer, path)
            names = " or ".join(sorted(pictures.projections)) if pictures else ""
            if not names:
                raise
            hint = f"the store has pictures that need neither: --rectifier {names}"
            raise ValueError(f"{error}; {hint}") from error
        model, weights = source.loaded.spec, source.loaded.weights
    how = {
        "model": model,
        "weights": weights,
        "dataset": store.attributes.get("dataset", ""),
        "model_fingerprint": store.attributes.get("model_fingerprint", ""),
    }
    saved(result, options, how)
    drawn = counted(len(channels), result.of.removesuffix("s"))
    said(f"{options.output}: {drawn} of {layer}", options)
    if stored:
        said("drawn from the pictures in the store; --recompute uses model and data", options)
    made = "stored" if stored else "recomputed"
    return {"figure": options.output, "layer": layer, "channels": channels, "pictures": made}


def _result(
    store: Store,
    options: argparse.Namespace,
    channels: list[int],
    *,
    rectifier: str | None = None,
    source: Mined | None = None,
) -> Exemplars:
    """The exemplars, from the pictures in the store or from model and data set."""
    loaded = source.loaded if source else None
    return exemplars(
        store,
        options.layer,
        channels,
        rectifier=rectifier,
        net=source.net if source else None,
        data=source.data if source else None,
        preprocessing=loaded.preprocessing if loaded and loaded.stated else None,
        bands=options.bands,
        of=options.of,
        end=options.end,
        k=options.k,
        per_source=options.per_source,
        rows=options.rows,
        columns=options.columns,
    )
