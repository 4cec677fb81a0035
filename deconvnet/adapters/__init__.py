"""Maps of this toolkit in the forms that other toolkits take: Quantus, captum, zennit.

Each name imports its library when it is asked for. Without the library it is a class that tells,
when it is called, what to install: a module that raises ``ImportError`` where an attribute is read
breaks ``hasattr`` and ``inspect``, and of an ``AttributeError`` Python hides the text from those
who write ``from deconvnet.adapters import ...``.
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
        return _stand_in(name, library)
    return getattr(import_module(f"{__name__}.{module}"), name)


def __dir__() -> list[str]:
    return __all__


def _stand_in(name: str, library: str) -> type:
    """A class that says, when it is called, which library is missing, and in ``help()`` too."""
    needs = (
        f"deconvnet.adapters.{name} needs {library}, which is not installed: "
        f"pip install {library}, or pip install 'deconvnet[bench]'"
    )

    def missing(*_: object, **__: object) -> object:
        raise ModuleNotFoundError(needs, name=library)

    return type(name, (), {"__doc__": needs, "__module__": __name__, "__new__": missing})
