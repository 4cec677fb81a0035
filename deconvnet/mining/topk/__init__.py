"""Exact streaming tables of the activations of a layer: strongest, lowest, and a random sample."""

from .lowest import Lowest
from .ranking import Ranked
from .sampled import Drawn, Members
from .topk import Table, TopK

__all__ = ["Drawn", "Lowest", "Members", "Ranked", "Table", "TopK"]
