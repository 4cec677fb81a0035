"""``deconvnet merge``: merge the parts of several processes into a store."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from deconvnet.arguments import counted
from deconvnet.mining.run.merge import merge, parts_in
from deconvnet.mining.source import the_model
from deconvnet.store.store import Store

from . import said


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Merge, and print where the store is."""
    parts = parts_in(options.parts)
    facts = dict(parts[0].request.attributes)
    loaded = the_model(Store(Path(options.parts), facts, {}, {}), options.model, options.weights)
    store = merge(options.parts, options.output, loaded.model, max_bad=options.max_bad)
    seen: Any = store.attributes["images_seen"]
    said(f"{options.output}: {counted(len(parts), 'part')} over {counted(seen, 'image')}", options)
    said(f"the parts in {options.parts} are no longer needed", options)
    return {"store": options.output, "layers": list(store.layers), **store.attributes}
