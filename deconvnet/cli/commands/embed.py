"""``deconvnet embed``: patches and projections into a store that has been mined."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Sequence
from typing import Any

from deconvnet.cli.progress import bar
from deconvnet.cli.store_source import the_model
from deconvnet.data.specs import mined_dataset
from deconvnet.graph.frontends import blank
from deconvnet.mining.embed import embed, spelled
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store, open_store
from deconvnet.zoo.load import LoadedModel

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Make the pictures, and say what the store holds now."""
    store = open_store(options.store)
    loaded = the_model(store, options.model, options.weights)
    data = mined_dataset(store.attributes, loaded.preprocessing, options.data)
    target = options.output or options.store
    with bar(1, "embedding", unit="picture") as report:
        made = embed(
            store,
            loaded.model,
            data,
            preprocessing=loaded.preprocessing,
            projections=options.projections,
            elsewhere=options.elsewhere,
            path=target,
            report=report,
        )
    for line in held(made):
        said(f"{target}: {line}", options)
    policies = sorted({name for each in made.pictures.values() for name in each.projections})
    return {"store": target, "bytes": made.path.stat().st_size, "projections": policies}


def check_policies(
    loaded: LoadedModel, layers: Sequence[str] | None, options: argparse.Namespace
) -> None:
    """Find out before hours of work whether the projections can be made that follow it.

    Raises:
        ValueError: no policy has this name.
        UnmirroredError: one has no rule for an activation on the way.
    """
    size = (3, *loaded.preprocessing.size)
    for policy in options.store_projections:
        net = DeconvNet(loaded.model, policy, elsewhere=options.elsewhere, input_size=size)
        net.record(blank(loaded.model, size), layers)


def illustrate(store: Store, loaded: LoadedModel, data: Any, options: argparse.Namespace) -> Store:
    """Put what ``mine`` was asked for into its store, if it is not there already.

    Raises:
        SystemExit: 130 after Ctrl-C; the tables are kept.
    """
    asked = {spelled(policy): policy for policy in options.store_projections}
    if all(_holds(store, layer, asked, options.elsewhere or "") for layer in store):
        return store
    try:
        with bar(1, "embedding", unit="picture") as report:
            return embed(
                store,
                loaded.model,
                data,
                preprocessing=loaded.preprocessing,
                projections=list(asked.values()),
                elsewhere=options.elsewhere,
                report=report,
            )
    except KeyboardInterrupt:
        sys.stderr.write(
            f"deconvnet: stopped: {store.path} is finished, but without pictures; the same command "
            "adds them\n"
        )
        raise SystemExit(130) from None


def _holds(store: Store, layer: str, asked: Iterable[str], elsewhere: str) -> bool:
    pictures = store.pictures.get(layer)
    found = pictures.projections if pictures else {}
    return pictures is not None and all(
        policy in found and found[policy].elsewhere == elsewhere for policy in asked
    )


def held(store: Store) -> list[str]:
    """What pictures a store holds, in words."""
    size = f"{store.path.stat().st_size:,} bytes"
    if not store.pictures:
        return [f"no pictures, {size}"]
    policies = sorted({name for each in store.pictures.values() for name in each.projections})
    projections = f"projections by {', '.join(policies)}" if policies else "no projections"
    return [f"patches and {projections} of {len(store.pictures)} layers, {size}"]
