"""Maps of this toolkit in the forms that other toolkits take: Quantus, captum, zennit.

Each name imports its library when it is asked for; ``dir()`` lists those whose library is there.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .captum_classes import (
        CaptumAttribution,
        CaptumLayerAttribution,
        CaptumNeuronAttribution,
    )
    from .quantus_function import quantus_explain
    from .zennit_attributor import ZennitAttributor

_HOMES = {  # name: (module, the library that it imports)
    "CaptumAttribution": ("captum_classes", "captum"),
    "CaptumLayerAttribution": ("captum_classes", "captum"),
    "CaptumNeuronAttribution": ("captum_classes", "captum"),
    "ZennitAttributor": ("zennit_attributor", "zennit"),
    "quantus_explain": ("quantus_function", ""),
}

__all__ = [
    "CaptumAttribution",
    "CaptumLayerAttribution",
    "CaptumNeuronAttribution",
    "ZennitAttributor",
    "quantus_explain",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'deconvnet.adapters' has no attribute {name!r}")
    module, library = _HOMES[name]
    if library and not find_spec(library):
        raise ModuleNotFoundError(
            f"deconvnet.adapters.{name} needs {library}, which is not installed: "
            f"pip install {library}, or pip install 'deconvnet[bench]'",
            name=library,
        )
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    there = {name for name, (_, library) in _HOMES.items() if not library or find_spec(library)}
    return sorted({name for name in globals() if name not in _HOMES} | there)
