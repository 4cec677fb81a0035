"""``deconvnet embed``: write patches and projections into a store."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from deconvnet.arguments import counted
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import mined_dataset, needed_preprocessing
from deconvnet.data.samples import first_image
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
    stated = {"mean": options.mean, "std": options.std}
    loaded = the_model(store, options.model, options.weights, stated=stated)
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    target = options.output or options.store
    made = _embedded(
        store,
        loaded,
        data,
        options.rectifiers,
        options=options,
        prepared=loaded.preprocessing if loaded.stated else None,
        path=target,
    )
    rules = sorted({name for each in made.pictures.values() for name in each.projections})
    projections = f"projections by {' and '.join(rules)}" if rules else "no projections"
    size, layers = made.path.stat().st_size, len(made.pictures)
    kept = f"patches and {projections} of {counted(layers, 'layer')}" if layers else "no pictures"
    said(f"{target}: {kept}, {size:,} bytes", options)
    return {"store": target, "bytes": size, "projections": rules}


def prepared_of(loaded: LoadedModel, data: Any, options: argparse.Namespace) -> Prepares:
    """What turns the tensors of a data set into pictures, by the rule of preprocessing.

    Raises:
        ValueError: the images are a factory's, and nobody says how they were preprocessed.
    """
    stated = loaded.preprocessing if options.mean or options.std else None
    axes = len(loaded.shape) - 1
    return needed_preprocessing(stated, data=data, model=loaded.model, axes=axes)


def check_policies(
    loaded: LoadedModel, layers: Sequence[str] | None, data: Any, options: argparse.Namespace
) -> None:
    """Check before a long run that the pictures after it can be made."""
    if options.store_patches or options.store_projections:
        prepared_of(loaded, data, options)
    for rule in options.store_projections:
        image = blank(loaded.model, tuple(first_image(data).shape))
        mirrored(loaded, options, rule).record(image, layers)


def illustrate(store: Store, loaded: LoadedModel, data: Any, options: argparse.Namespace) -> Store:
    """Write the pictures that ``mine`` was asked for into its store, if it lacks them."""
    asked = [stored_name(policies(rule, options)) for rule in options.store_projections]
    if all(_holds(store, layer, asked, options.fallback or "") for layer in store):
        return store
    try:
        return _embedded(
            store,
            loaded,
            data,
            options.store_projections,
            options=options,
            prepared=prepared_of(loaded, data, options),
        )
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
    rectifiers: list[str],
    *,
    options: argparse.Namespace,
    prepared: Prepares | None,
    path: str | None = None,
) -> Store:
    return embed(
        store,
        loaded.model,
        data,
        preprocessing=prepared,
        rectifiers=[policies(rule, options) for rule in rectifiers],
        path=path,
    )


def _holds(store: Store, layer: str, asked: Iterable[str], fallback: str) -> bool:
    pictures = store.pictures.get(layer)
    stored = pictures.projections if pictures else {}
    return pictures is not None and all(
        policy in stored and stored[policy].fallback == fallback for policy in asked
    )
