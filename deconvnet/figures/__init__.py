"""Figures for papers, drawn from arrays: knows inches and points, and nothing of networks."""

from deconvnet.figures.canvas import backend as backend  # before anything imports matplotlib
from .method_comparison import ComparisonRow, comparison
from deconvnet.figures.canvas.contrast import RULE, signed
from .exemplar_grid import ChannelBlock, figure2
from .filter_tiles import filters
from deconvnet.figures.canvas.tiles import as_picture, pad_to, tile
from .metadata import provenance, suffix_of
from .save import save
from deconvnet.figures.canvas.style import WIDTHS, paper, width
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
