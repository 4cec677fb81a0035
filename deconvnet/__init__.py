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
    from deconvnet.mining.run.merge import merge
    from deconvnet.mining.verify.verify import verify
    from deconvnet.net import DeconvNet
    from deconvnet.pages.atlas import atlas
    from deconvnet.projection.recording import Recording
    from deconvnet.projection.result import Projection
    from deconvnet.projection.tables import Layer
    from deconvnet.store.store import Store, open_store
    from deconvnet.studies.architectures import architectures
    from deconvnet.studies.class_model import class_model
    from deconvnet.studies.compare import compare
    from deconvnet.studies.correspondence import correspondence
    from deconvnet.studies.effective_field import effective_field
    from deconvnet.studies.evolution import evolution
    from deconvnet.studies.exemplars import exemplars
    from deconvnet.studies.facets import facets
    from deconvnet.studies.feeds import feeds
    from deconvnet.studies.invariance import invariance
    from deconvnet.studies.localize import localize
    from deconvnet.studies.occlusion import occlusion
    from deconvnet.studies.relu_table import relu_table
    from deconvnet.studies.sanity import sanity
    from deconvnet.studies.similarity import similarity
    from deconvnet.studies.spectrum import spectrum
    from deconvnet.studies.trace import trace
    from deconvnet.studies.visualize import visualize
    from deconvnet.studies.why import why
    from deconvnet.units import Box, Region, Unit

__version__ = metadata.version("deconvnet")  # of the installed package, as pyproject.toml has it

_HOMES = {
    "Box": "units",
    "DeconvNet": "net",
    "Layer": "projection.tables",
    "Preprocessing": "data",
    "Projection": "projection.result",
    "Recording": "projection.recording",
    "Rectifier": "layers",
    "Region": "units",
    "Store": "store.store",
    "Unit": "units",
    "UnmirroredError": "layers",
    "UntraceableError": "graph.errors",
    "architectures": "studies.architectures",
    "atlas": "pages.atlas",
    "class_model": "studies.class_model",
    "compare": "studies.compare",
    "correspondence": "studies.correspondence",
    "effective_field": "studies.effective_field",
    "embed": "mining.embed",
    "evolution": "studies.evolution",
    "exemplars": "studies.exemplars",
    "facets": "studies.facets",
    "feeds": "studies.feeds",
    "invariance": "studies.invariance",
    "localize": "studies.localize",
    "merge": "mining.run.merge",
    "mine": "mining.mine",
    "occlusion": "studies.occlusion",
    "open_store": "store.store",
    "relu_table": "studies.relu_table",
    "sanity": "studies.sanity",
    "similarity": "studies.similarity",
    "spectrum": "studies.spectrum",
    "trace": "studies.trace",
    "verify": "mining.verify.verify",
    "visualize": "studies.visualize",
    "why": "studies.why",
}
_MODULES = ("adapters", "testing", "zoo")

__all__ = [
    "Box",
    "DeconvNet",
    "Layer",
    "Preprocessing",
    "Projection",
    "Recording",
    "Rectifier",
    "Region",
    "Store",
    "Unit",
    "UnmirroredError",
    "UntraceableError",
    "__version__",
    "architectures",
    "atlas",
    "class_model",
    "compare",
    "correspondence",
    "effective_field",
    "embed",
    "evolution",
    "exemplars",
    "facets",
    "feeds",
    "invariance",
    "localize",
    "merge",
    "mine",
    "occlusion",
    "open_store",
    "relu_table",
    "sanity",
    "similarity",
    "spectrum",
    "trace",
    "verify",
    "visualize",
    "why",
]


def __getattr__(name: str) -> object:
    if name in _MODULES:
        return import_module(f"deconvnet.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'deconvnet' has no attribute {name!r}")
    return getattr(import_module(f"deconvnet.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return sorted({*__all__, *_MODULES})
