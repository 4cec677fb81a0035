"""Figures for papers, drawn from arrays: knows inches and points, and nothing of networks."""

from deconvnet.figures.canvas import backend as backend  # before anything imports matplotlib
from deconvnet.figures.canvas.contrast import RULE, signed
from deconvnet.figures.canvas.style import WIDTHS, paper, width
from deconvnet.figures.canvas.tiles import as_picture, pad_to, tile

from .exemplar_grid import ChannelBlock, figure2
from .filter_tiles import filters
from .metadata import provenance, suffix_of
from .method_comparison import ComparisonRow, comparison
from .save import save
from .unit_panels import ImageRow, UnitView, visualization

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
