"""The provenance of a study's figure, for the metadata of its file."""

from __future__ import annotations

from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

import torch

from deconvnet.figures import RULE


def provenance_of(model: str, weights: str, entries: Mapping[str, object]) -> dict[str, str]:
    """The provenance of a figure: its model, these entries, the rule of contrast and versions.

    Of the path of the weights only the file name is kept.
    """
    return {
        "model": model,
        "weights": Path(weights).name,
        **{name: str(value) for name, value in entries.items()},
        "contrast": RULE,
        "deconvnet": version("deconvnet"),
        "torch": torch.__version__,
        "matplotlib": version("matplotlib"),
    }
