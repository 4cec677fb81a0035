"""``deconvnet spectrum``: channels from their lowest images to their strongest."""

from __future__ import annotations

import argparse
from typing import Any

from deconvnet.arguments import numeral
from deconvnet.cli.mined import mined
from deconvnet.mining.stored_rules import stored_name
from deconvnet.store.store import open_store
from deconvnet.studies.spectrum import is_stored, spectrum

from . import check, policies, said, saved


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Draw from the pictures in the store, or recompute them, and save."""
    check(options)
    store = open_store(options.store)
    rule = stored_name(policies(options.rectifier, options))
    given = options.model or options.weights or options.data
    asked = store, options.layer, options.channels
    if not given and is_stored(*asked, rectifier=rule, of=options.of):
        result = spectrum(*asked, rectifier=rule, of=options.of)
        names = ("model", "weights", "dataset", "model_fingerprint")
        how = {name: store.attributes.get(name, "") for name in names}
    else:
        source = mined(store, options)
        result = spectrum(
            *asked,
            net=source.net,
            data=source.data,
            preprocessing=source.loaded.preprocessing,
            of=options.of,
        )
        how = source.told(store)
    saved(result, options, how)
    for row in result.table():
        said(
            f"{row['unit']} {row['at']}: {numeral(row['activation'])}, {row['image']}",
            options,
        )
    said(options.output, options)
    return {"figure": options.output, "n": result.n, "entries": result.table()}
