"""The provenance of a study's figure, for the metadata of its file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch


def provenance_of(entries: Mapping[str, object]) -> dict[str, str]:
    """The provenance of a figure: these entries as text, and versions.

    Of the path of the ``weights`` only the file name is kept: a path would tell of somebody's disk.
    """
    told = {name: str(value) for name, value in entries.items()}
    if "weights" in told:
        told["weights"] = Path(told["weights"]).name
    return {
        **told,
        "deconvnet": version("deconvnet"),
        "torch": torch.__version__,
        "matplotlib": version("matplotlib"),
    }
