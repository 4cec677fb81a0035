"""``deconvnet embed``: write patches and projections into a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from deconvnet.data.resolve import mined_dataset
from deconvnet.graph.frontends import blank
from deconvnet.layers import rectifier
from deconvnet.mining.embed import embed
from deconvnet.mining.source import the_model
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store, open_store
from deconvnet.zoo.load import LoadedModel

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Write the pictures, and print what the store then holds."""
    store = open_store(options.store)
    loaded = the_model(store, options.model, options.weights)
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    target = options.output or options.store
    made = _embedded(store, loaded, data, options.projections, options=options, path=target)
    policies = sorted({name for each in made.pictures.values() for name in each.projections})
    projections = f"projections by {', '.join(policies)}" if policies else "no projections"
    size, layers = made.path.stat().st_size, len(made.pictures)
    kept = f"patches and {projections} of {layers} layers" if layers else "no pictures"
    said(f"{target}: {kept}, {size:,} bytes", options)
    return {"store": target, "bytes": size, "projections": policies}


def check_policies(
    loaded: LoadedModel, layers: Sequence[str] | None, options: argparse.Namespace
) -> None:
    """Check before a long run that the projections after it can be made."""
    size = (3, *loaded.preprocessing.size)
    for policy in options.store_projections:
        net = DeconvNet(loaded.model, policy, fallback=options.fallback, input_size=size)
        net.record(blank(loaded.model, size), layers)


def illustrate(store: Store, loaded: LoadedModel, data: Any, options: argparse.Namespace) -> Store:
    """Write the pictures that ``mine`` was asked for into its store, if it lacks them."""
    asked = {str(rectifier(policy)): policy for policy in options.store_projections}
    if all(_holds(store, layer, asked, options.fallback or "") for layer in store):
        return store
    try:
        return _embedded(store, loaded, data, list(asked.values()), options=options)
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
        projections=projections,
        fallback=options.fallback,
        path=path,
    )


def _holds(store: Store, layer: str, asked: Iterable[str], fallback: str) -> bool:
    pictures = store.pictures.get(layer)
    stored = pictures.projections if pictures else {}
    return pictures is not None and all(
        policy in stored and stored[policy].fallback == fallback for policy in asked
    )
