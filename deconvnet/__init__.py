"""See what a filter of a convolutional network responds to.

The public names are imported on first use, so that ``deconvnet --help`` need not wait for torch.
"""

from importlib import import_module, metadata
from typing import TYPE_CHECKING

if TYPE_CHECKING:  # what a type checker sees; at run time each is imported when it is asked for
    from deconvnet.data import Preprocessing
    from deconvnet.graph.errors import UntraceableError
    from deconvnet.layers import Rectifier, UnmirroredError
    from deconvnet.mining.embed import embed
    from deconvnet.mining.mine import mine
    from deconvnet.mining.verify.verify import verify
    from deconvnet.net import DeconvNet, Layer
    from deconvnet.projection.recording import Recording
    from deconvnet.projection.result import Projection
    from deconvnet.store.store import Store, open_store
    from deconvnet.studies.class_model import class_model
    from deconvnet.studies.correspondence import correspondence
    from deconvnet.studies.effective_field import effective_field
    from deconvnet.studies.invariance import invariance
    from deconvnet.studies.localize import localize
    from deconvnet.studies.occlusion import occlusion
    from deconvnet.units import Box, Unit

__version__ = metadata.version("deconvnet")  # of the installed package, as pyproject.toml has it

_HOMES = {
    "Box": "units",
    "DeconvNet": "net",
    "Layer": "net",
    "Preprocessing": "data",
    "Projection": "projection.result",
    "Recording": "projection.recording",
    "Rectifier": "layers",
    "Store": "store.store",
    "Unit": "units",
    "UnmirroredError": "layers",
    "UntraceableError": "graph.errors",
    "class_model": "studies.class_model",
    "correspondence": "studies.correspondence",
    "effective_field": "studies.effective_field",
    "embed": "mining.embed",
    "invariance": "studies.invariance",
    "localize": "studies.localize",
    "mine": "mining.mine",
    "occlusion": "studies.occlusion",
    "open_store": "store.store",
    "verify": "mining.verify.verify",
}

__all__ = [
    "Box",
    "DeconvNet",
    "Layer",
    "Preprocessing",
    "Projection",
    "Recording",
    "Rectifier",
    "Store",
    "Unit",
    "UnmirroredError",
    "UntraceableError",
    "__version__",
    "class_model",
    "correspondence",
    "effective_field",
    "embed",
    "invariance",
    "localize",
    "mine",
    "occlusion",
    "open_store",
    "verify",
]


def __getattr__(name: str) -> object:
    if name == "testing":
        return import_module("deconvnet.testing")
    if name not in _HOMES:
        raise AttributeError(f"module 'deconvnet' has no attribute {name!r}")
    return getattr(import_module(f"deconvnet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
