"""The strongest activations of every unit, exact, in one pass over a data set."""

from .topk import Table, TopK

__all__ = ["Table", "TopK"]
