"""Exact streaming top-k of the activations of a layer."""

from .topk import Table, TopK

__all__ = ["Table", "TopK"]
