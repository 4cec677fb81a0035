"""Mirrored layers: each operation's forward pass and the way back, side by side.

``TABLE`` says which mirrored layer stands for a module, a function or a tensor method. Each value
reads one call: ``read(module, *args)`` or ``read(*args)`` returns the layer and the tensors that
enter it, or None where this particular call is beyond it. What is not in the table, and what a
reader gives back as None, is mirrored by its own vector-Jacobian product (``local.Local``).
"""

from __future__ import annotations

from torch import nn

from .base import InputSize, Inside, LinearMap, MirroredLayer, Nothing, Record
from .crop import Crop
from .local import Local, PerSample
from .policies import Activation, Policies, Rectifier, UnmirroredError, rectifier
from .rectification import Rectification
from .table import TABLE, Reader
from .unpooling import Switches, unpool
from .window import Interval, Window

__all__ = [
    "TABLE",
    "Activation",
    "Crop",
    "InputSize",
    "Inside",
    "Interval",
    "LinearMap",
    "Local",
    "MirroredLayer",
    "Nothing",
    "PerSample",
    "Policies",
    "Record",
    "Rectification",
    "Rectifier",
    "Switches",
    "UnmirroredError",
    "Window",
    "rectifier",
    "reader_for",
    "unpool",
]


def reader_for(module: nn.Module) -> Reader | None:
    """The reader for calls of a module, also of a subclass that does not run otherwise."""
    if "forward" in vars(module):  # one of its own
        return None
    for base in type(module).__mro__:
        if base in TABLE and type(module).forward is getattr(base, "forward", None):
            return TABLE[base]
    return None
