"""Figures for papers, drawn from arrays: knows inches and points, and nothing of networks."""

from . import backend as backend  # before anything imports matplotlib
from .comparison import ComparisonRow, comparison
from .contrast import RULE, signed
from .exemplars import ChannelBlock, figure2
from .filters import filters
from .grid import as_picture, pad_to, tile
from .metadata import provenance, suffix_of
from .save import save
from .style import WIDTHS, paper, width
from .unit import ImageRow, UnitView, visualization

__all__ = [
    "RULE",
    "WIDTHS",
    "ChannelBlock",
    "ComparisonRow",
    "ImageRow",
    "UnitView",
    "as_picture",
    "comparison",
    "figure2",
    "filters",
    "pad_to",
    "paper",
    "provenance",
    "save",
    "signed",
    "suffix_of",
    "tile",
    "visualization",
    "width",
]
