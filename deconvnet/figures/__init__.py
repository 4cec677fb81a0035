"""Figures for papers, drawn from arrays; nothing here knows networks."""

from deconvnet.figures.canvas import backend as backend  # before anything imports matplotlib
from deconvnet.figures.canvas.contrast import RULE as RULE
from deconvnet.figures.canvas.contrast import scale as scale
from deconvnet.figures.canvas.contrast import signed as signed
from deconvnet.figures.canvas.figure import PaperFigure as PaperFigure
from deconvnet.figures.canvas.parts import SIGNS as SIGNS
from deconvnet.figures.canvas.parts import part as part
from deconvnet.figures.canvas.style import WIDTHS as WIDTHS
from deconvnet.figures.canvas.style import paper as paper
from deconvnet.figures.canvas.style import width as width
from deconvnet.figures.canvas.tiles import as_picture as as_picture
from deconvnet.figures.canvas.tiles import pad_to as pad_to
from deconvnet.figures.canvas.tiles import tile as tile

from .exemplar_grid import figure2 as figure2
from .exemplar_grid import pages as pages
from .exemplar_grid import tile_places as tile_places
from .feed_rows import FeedRow as FeedRow
from .feed_rows import feed_rows as feed_rows
from .filter_tiles import filters as filters
from .method_comparison import ComparisonRow as ComparisonRow
from .method_comparison import comparison as comparison
from .pair_rows import pair_rows as pair_rows
from .panels import CurvePanel as CurvePanel
from .panels import HeatPanel as HeatPanel
from .panels import Panel as Panel
from .panels import panels as panels
from .relu_diagram import Pass as Pass
from .relu_diagram import relu_diagram as relu_diagram
from .save import png as png
from .save import read_provenance as read_provenance
from .save import save as save
from .save import save_pages as save_pages
from .save import suffix_of as suffix_of
from .strip_rows import comparison_rows as comparison_rows
from .strip_rows import exemplar_rows as exemplar_rows
from .strip_rows import unit_rows as unit_rows
from .trace_column import TraceRow as TraceRow
from .trace_column import trace_column as trace_column
from .unit_panels import ImageRow as ImageRow
from .unit_panels import visualization as visualization
