"""Mirrored layers: each operation's forward pass and the way back, side by side.

``TABLE`` says which mirrored layer stands for a module, a function or a tensor method; ``Mirrors``
puts a user's own lines before it. What is in neither, and what a reader gives back as None, is
mirrored by its own vector-Jacobian product (``local.Local``). See ``layers/README.md``.
"""

from __future__ import annotations

from .base import InputSize, Inside, MirroredLayer, Nothing, Record, WithoutFilters
from .crop import Crop
from .functional import LinearMap, PerSample
from .local import Local
from .mirrors import MirrorError, Mirrors, reader_for
from .policies import Activation, Policies, Rectifier, UnmirroredError, rectifier
from .rectification import Rectification
from .table import TABLE
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
    "MirrorError",
    "MirroredLayer",
    "Mirrors",
    "Nothing",
    "PerSample",
    "Policies",
    "Record",
    "Rectification",
    "Rectifier",
    "Switches",
    "UnmirroredError",
    "Window",
    "WithoutFilters",
    "rectifier",
    "reader_for",
    "unpool",
]
