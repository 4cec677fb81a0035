"""``deconvnet embed``: write patches and projections into a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from deconvnet.data.resolve import mined_dataset
from deconvnet.graph.frontends import blank
from deconvnet.mining.embed import embed
from deconvnet.mining.source import the_model
from deconvnet.mining.stored_rules import stored_name
from deconvnet.store.store import Store, open_store
from deconvnet.zoo.load import LoadedModel

from . import check, mirrored, policies, said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the pictures, and print what the store then holds."""
    check(options)
    store = open_store(options.store)
    loaded = the_model(store, options.model, options.weights)
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    target = options.output or options.store
    made = _embedded(store, loaded, data, options.projections, options=options, path=target)
    rules = sorted({name for each in made.pictures.values() for name in each.projections})
    projections = f"projections by {' and '.join(rules)}" if rules else "no projections"
    size, layers = made.path.stat().st_size, len(made.pictures)
    kept = f"patches and {projections} of {layers} layers" if layers else "no pictures"
    said(f"{target}: {kept}, {size:,} bytes", options)
    return {"store": target, "bytes": size, "projections": rules}


def check_policies(
    loaded: LoadedModel, layers: Sequence[str] | None, options: argparse.Namespace
) -> None:
    """Check before a long run that the projections after it can be made."""
    shape = loaded.preprocessing.shape
    for rule in options.store_projections if shape else ():
        mirrored(loaded, options, rule).record(blank(loaded.model, shape), layers)


def illustrate(store: Store, loaded: LoadedModel, data: Any, options: argparse.Namespace) -> Store:
    """Write the pictures that ``mine`` was asked for into its store, if it lacks them."""
    asked = [stored_name(policies(rule, options)) for rule in options.store_projections]
    if all(_holds(store, layer, asked, options.fallback or "") for layer in store):
        return store
    try:
        return _embedded(store, loaded, data, options.store_projections, options=options)
    except KeyboardInterrupt:
        sys.stderr.write(
            f"deconvnet: stopped: {store.path} is finished, but without pictures; the same command "
            "adds them\n"
        )
        raise SystemExit(130) from None


def _embedded(
    store: Store,
    loaded: LoadedModel,
    data: Any,
    projections: list[str],
    *,
    options: argparse.Namespace,
    path: str | None = None,
) -> Store:
    return embed(
        store,
        loaded.model,
        data,
        preprocessing=loaded.preprocessing,
        projections=[policies(rule, options) for rule in projections],
        path=path,
    )


def _holds(store: Store, layer: str, asked: Iterable[str], fallback: str) -> bool:
    pictures = store.pictures.get(layer)
    stored = pictures.projections if pictures else {}
    return pictures is not None and all(
        policy in stored and stored[policy].fallback == fallback for policy in asked
    )
