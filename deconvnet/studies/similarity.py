"""Which channels of a layer respond alike: their correlation over the images of a sample."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from numpy.typing import NDArray
from scipy.cluster import hierarchy
from scipy.spatial.distance import squareform

from deconvnet.arguments import counted
from deconvnet.figures.similarity_matrix import RULE, similarity_matrix
from deconvnet.store.store import Store, open_store
from deconvnet.store.table import Sample

from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure


@dataclass(frozen=True, eq=False, repr=False)
class Similarity(Shown):
    """The correlations of a layer's channels over the same randomly drawn images.

    Args:
        layer: name of the layer.
        n: images of the sample that were used.
        random_state: with which the sample was drawn.
        channels: those that are compared, in the order of the matrix: similar ones side by side.
        constant: channels with one activation in all images, which have no correlation.
        correlation: (channels, channels) Pearson's, in that order.
        pairs: how many of the most similar pairs and of the most opposite ones are told.
    """

    layer: str
    n: int
    random_state: int
    channels: tuple[int, ...]
    constant: tuple[int, ...]
    correlation: NDArray[np.float64]
    pairs: int = 12

    rule: ClassVar[str] = RULE

    @property
    def similar(self) -> list[tuple[int, int, float]]:
        """(channel, channel, correlation) of the most similar pairs."""
        return list(self._pairs(-1))

    @property
    def opposite(self) -> list[tuple[int, int, float]]:
        """(channel, channel, correlation) of the most opposite pairs."""
        return list(self._pairs(1))

    def _pairs(self, sign: int) -> Iterator[tuple[int, int, float]]:
        one, other = np.triu_indices(len(self.channels), 1)
        values = self.correlation[one, other]
        for place in np.argsort(sign * values, kind="stable")[: self.pairs].tolist():
            both = sorted((self.channels[one[place]], self.channels[other[place]]))
            yield both[0], both[1], float(values[place])

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The matrix with similar channels side by side, pairs that stand out, and a histogram.

        At the matrix stand the numbers of its channels, of many every so many.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = (
            f"Correlation of {counted(len(self.channels), 'channel')} of {self.layer} over "
            f"{counted(self.n, 'image')} drawn at random (random_state {self.random_state}), in "
            "the order of average linkage"
        )
        if self.constant:
            told += f"; left out: {counted(len(self.constant), 'channel')} constant in them"
        return similarity_matrix(
            self.correlation,
            {"most similar": self.similar, "most opposite": self.opposite},
            channels=self.channels, width=width, title=title,
            caption=told if caption else None, parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row a pair: the most similar ones, then the most opposite ones."""
        return [
            {"pair": f"{self.layer}:{one},{other}", "correlation": value, "kind": kind}
            for kind, some in (("similar", self.similar), ("opposite", self.opposite))
            for one, other, value in some
        ]


def similarity(store: Store | str | PathLike[str], layer: str, *, pairs: int = 12) -> Similarity:
    """Correlate the channels of a layer over the sample of a store.

    The sample holds the activation of every channel in the same images, which were drawn at
    random; images that are NaN in a channel are left out. Channels are ordered by average linkage
    of the distance 1 - correlation, so that similar ones stand side by side.

    Args:
        store: as ``mine(..., sample=256)`` or ``open_store`` gives it, or its path.
        layer: one of its layers.
        pairs: how many of the most similar and of the most opposite pairs are told.

    Raises:
        KeyError: no such layer.
        ValueError: the store holds no sample, or fewer than three of its images can be compared,
            or fewer than two channels vary in them.
    """
    store = store if isinstance(store, Store) else open_store(store)
    sample = store[layer].sample
    if sample is None:
        raise ValueError(
            f"the store holds no sample of {layer}; mine again, with a sample: "
            "mine(..., sample=256), or --sample 256"
        )
    scaled, varying = standardised(sample)
    n = scaled.shape[1]
    if n < 3:
        raise ValueError(
            f"{counted(n, 'image')} of the sample can be compared, of which no correlation can be "
            "told; mine with a larger sample"
        )
    if len(varying) < 2:
        raise ValueError(
            f"{len(varying)} of the channels of {layer} vary over the sample, expected two or more"
        )
    correlation = np.clip(scaled @ scaled.T, -1, 1)
    order = ordered(correlation)
    constant = np.setdiff1d(np.arange(len(sample.activation)), varying)
    return Similarity(
        layer, n, int(str(store.attributes.get("random_state", 0))),
        tuple(varying[order].tolist()), tuple(constant.tolist()),
        correlation[np.ix_(order, order)], pairs,
    )  # fmt: skip


def standardised(sample: Sample) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """What correlations of channels are products of: rows of mean 0 and length 1.

    Returns:
        (channels that vary, images of the sample that no channel is NaN in), and the numbers of
        these channels; none vary in fewer than three images, of which no correlation can be told.
    """
    values = np.asarray(sample.activation, np.float64)
    values = values[:, np.isfinite(values).all(0)]
    if values.shape[1] < 3:
        return values[:0], np.arange(0)
    varying = np.flatnonzero(values.std(1) > 0)
    scaled = values[varying] - values[varying].mean(1, keepdims=True)
    return scaled / np.linalg.norm(scaled, axis=1, keepdims=True), varying


def ordered(correlation: NDArray[np.float64]) -> NDArray[np.int64]:
    """The order in which similar channels stand side by side (Bar-Joseph et al. 2001)."""
    apart = 1 - correlation
    np.fill_diagonal(apart, 0)
    tree = hierarchy.linkage(
        squareform((apart + apart.T) / 2, checks=False), "average", optimal_ordering=True
    )
    return np.asarray(hierarchy.leaves_list(tree), np.int64)
