"""Whether hiding the same part of different images changes their features in the same way."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import Brief, counted, listed
from deconvnet.figures import Panel, panels
from deconvnet.net import DeconvNet

from .covering import filled
from .given import images_of, net_of_pictures
from .result import Shown
from .values import layer_of, pixels_of, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

ROUNDING = 1e-6  # of the greatest value of a layer: a smaller change counts as none
RANDOM = "random"
"""The part that stands at a random place in each image."""

KEY = (
    "Δ: mean feature sign change",  # as in table 1 of Zeiler & Fergus
    "null: Δ of units in random order",
    "p₀: share of units without a change",
)
"""What the numbers below a part are, in the figure."""

Signs = NDArray[np.int8]


@dataclass(frozen=True)
class Consistency(Brief):
    """How alike the changes of one part are at one layer.

    Args:
        delta: mean share of units whose signs of change differ, over pairs of images.
        std: its standard deviation over the pairs; NaN for one pair.
        zeros: share of units that do not change, averaged over the images.
        null: what delta would be if the units of each image were in random order.
    """

    delta: float
    std: float
    zeros: float
    null: float


@dataclass(frozen=True, eq=False, repr=False)
class Correspondence(Shown):
    """The consistency of hidden parts at layers.

    Args:
        names: of the images.
        layers: whose values are the features.
        parts: the names of the parts, "random" the last.
        masked: {part: pictures of the images without it}.
        pictures: of the images as they are, (height, width, 3) in [0, 1].
        measured: {part: {layer: its consistency}}.
        value: what the parts were filled with.

    Source: Zeiler & Fergus 2014, section 4.3, table 1 and figure 8.
    """

    rule = "Features change by a sign of -1, 0 or 1 for each unit."

    names: Sequence[str]
    layers: Sequence[str]
    parts: Sequence[str]
    masked: Mapping[str, Sequence[NDArray[np.float32]]]
    pictures: Sequence[NDArray[np.float32]]
    measured: Mapping[str, Mapping[str, Consistency]]
    value: str

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row an image: as it is and without each part; Δ of each part below its column.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = (
            f"Parts filled with {self.value}; Δ: the share of units whose signs differ, mean ± std "
            "over pairs of images"
        )
        last = len(self.names) - 1
        rows = []
        for place, picture in enumerate(self.pictures):
            name = "\n".join([self.names[place], *(KEY if place == last else ())])
            row = [Panel(picture, "image" if place == 0 else "", name)]
            for part in self.parts:
                label, note = part if place == 0 else "", self._note(part) if place == last else ""
                row.append(Panel(self.masked[part][place], label, note))
            rows.append(row)
        return panels(
            rows, width=width, title=title, caption=told if caption else None, rule=self.rule,
            parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row a part and layer: delta, std, share of zeros, and delta of the null."""
        return [
            {"part": part, "layer": layer, **vars(self.measured[part][layer])}
            for part in self.parts
            for layer in self.layers
        ]

    def _note(self, part: str) -> str:
        told = []
        for layer in self.layers:
            one = self.measured[part][layer]
            spread = "" if math.isnan(one.std) else f" ± {one.std:.3f}"
            told.append(
                f"{layer}: Δ = {one.delta:.3f}{spread}\nnull {one.null:.3f}, p₀ = {one.zeros:.2f}"
            )
        return "\n".join(told)


def correspondence(
    net: DeconvNet | nn.Module,
    images: Any,
    masks: Mapping[str, Any],
    *,
    layers: Sequence[str | nn.Module] | str | None = None,
    value: str | float | Sequence[float] = "grey",
    random_state: int = 0,
    preprocessing: Any = None,
    names: Sequence[str] = (),
    progress: bool = True,
) -> Correspondence:
    """Hide parts of images and compare the signs by which features change.

    For a part, x the features of an image and x' without the part, Δ is the mean over pairs of
    images of the Hamming distance of sign(x - x'), as a share of the units. A unit that neither
    changes counts as equal, so that Δ is small where most units do not change: read it beside p₀
    and the null. The part "random" is the first part's mask at a random place of each image.

    Args:
        net: the model, or a DeconvNet of it; its rule plays no part.
        images: two or more, as for ``DeconvNet.project``.
        masks: {part: (images, height, width)}, True where it is, in pixels of the preprocessed
            images.
        layers: by default the last rectifier with maps.
        value: what parts are filled with, as for ``deconvnet.occlusion``.
        random_state: of the places and of the null.
        preprocessing: by default the model's own.
        names: of the images.
        progress: show a bar after a second.

    Raises:
        KeyError: no such layer.
        ValueError: one image; a mask of another size, or that hides nothing.

    Source: Zeiler & Fergus 2014, section 4.3.
    """
    net = net_of_pictures(net)
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    if len(given) < 2:
        raise ValueError(
            f"{counted(len(given), 'image')} given; changes are compared between two or more"
        )
    pixels = pixels_of(net, given)
    parts = _checked(masks, tuple(pixels[:, 0].shape))
    generator = np.random.default_rng(random_state)
    parts[RANDOM] = _moved(next(iter(parts.values())), generator)
    fill, chosen = filled(value, given.prepared, pixels), _named(net, pixels, layers)
    still = values(net, pixels, chosen, progress=False)
    measured, masked = {}, {}
    for part, mask in parts.items():
        there = torch.from_numpy(mask).to(pixels.device)[:, None]
        hidden = torch.where(there, fill, pixels)
        made = values(net, hidden, chosen, does=part, progress=progress)
        signs = {name: changes(still[name], made[name]) for name in chosen}
        measured[part] = {name: consistency(one, generator) for name, one in signs.items()}
        masked[part] = [given.prepared.picture(one) for one in hidden]
    told = value if isinstance(value, str) else str(value)
    return Correspondence(given.names, chosen, list(parts), masked, given.pictures, measured, told)


def changes(before: Tensor, after: Tensor) -> Signs:
    """(images, units): the signs of before - after; 0 where they differ by rounding alone."""
    away = (before - after).double().flatten(1)
    least = ROUNDING * float(before.abs().max())
    return torch.where(away.abs() <= least, 0.0, away.sign()).to(torch.int8).cpu().numpy()


def consistency(signs: Signs, generator: np.random.Generator) -> Consistency:
    """The consistency of signs of change, (images, units)."""
    deltas = _distances(signs)
    shuffled = np.stack([generator.permutation(one) for one in signs])
    return Consistency(
        float(deltas.mean()),
        float(deltas.std()) if len(deltas) > 1 else math.nan,
        float((signs == 0).mean()),
        float(_distances(shuffled).mean()),
    )


def _distances(signs: Signs) -> NDArray[np.float64]:
    """The share of units that differ, of each pair of images: half the paper's double sum."""
    return np.array([(one != other).mean() for one, other in combinations(signs, 2)])


def _checked(masks: Any, size: tuple[int, ...]) -> dict[str, NDArray[np.bool_]]:
    if not isinstance(masks, Mapping) or not masks or RANDOM in masks:
        raise ValueError(f"masks were {masks!r:.80}; expected {{part: masks}}, none called random")
    made = {str(name): np.asarray(mask) for name, mask in masks.items()}
    for name, mask in made.items():
        if mask.shape != size or mask.dtype != np.bool_:
            raise ValueError(
                f"the masks of {name!r} are {mask.dtype} of shape {mask.shape}, expected bool of "
                f"(images, height, width) = {size}"
            )
        empty = np.flatnonzero(~mask.any((1, 2))).tolist()
        if empty:
            raise ValueError(f"the mask of {name!r} hides nothing in images {empty}")
    return made


def _moved(masks: NDArray[np.bool_], generator: np.random.Generator) -> NDArray[np.bool_]:
    """Each mask at a random place where all of it is inside."""
    moved = np.zeros_like(masks)
    for one, mask in zip(moved, masks, strict=True):
        spans = [np.flatnonzero(mask.any(1 - axis))[[0, -1]] + (0, 1) for axis in (0, 1)]
        cut = mask[slice(*spans[0]), slice(*spans[1])]
        top, left = (
            int(generator.integers(0, n - m + 1))
            for n, m in zip(mask.shape, cut.shape, strict=True)
        )
        one[top : top + cut.shape[0], left : left + cut.shape[1]] = cut
    return moved


def _named(net: DeconvNet, pixels: Tensor, layers: Any) -> list[str]:
    if layers is None:
        return [layer_of(net, pixels, None)]
    return [net.graph.find(one) for one in listed(layers, str, nn.Module)]
