"""What a net loses as a square hides one part of an image after the other."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.figures import HeatPanel, Panel, pad_to, panels, signed, tile
from deconvnet.figures.canvas.tiles import BLANK
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.units import Box, Exemplar

from .covering import covered, filled
from .given import images_of, net_of_pictures
from .result import Shown
from .values import (
    Classes,
    channel_of,
    classes_of,
    grid,
    layer_of,
    one_picture,
    probabilities,
    stored,
    values,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_OTHERS = "#bbbbbb"
_COLOURS = ("#56b4e9", "#d55e00", "#009e73", "#f0e442")


@dataclass(frozen=True, eq=False, repr=False)
class Occlusion(Shown):
    """One image with a square over it, at many positions.

    Positions are (rows, columns) of ``tops`` and ``lefts``. Every value is that of the net with
    the square there; nothing is averaged over squares and nothing is subtracted.

    Args:
        name: of the image.
        picture: (height, width, 3) in [0, 1].
        size: height and width of the square, in pixels.
        stride: pixels from one position to the next; the last step of an axis may be shorter.
        value: what the square is filled with.
        layer: of the feature map.
        channel: of the feature map.
        tops: (rows,) first row of the square.
        lefts: (columns,) its first column.
        activation: (rows, columns), the sum of the feature map.
        without: that sum, of the image without a square.
        rectifier: the rule of the projections.
        projection: (height, width, channels), of the whole feature map into this image, signed.
        exemplars: the strongest of the channel in a store.
        classes: the class looked at and all others; None for a net without classes.
        target: the class looked at.
        probability: (rows, columns), of that class.
        likeliest: (rows, columns), the most probable class.
        unoccluded: probability and most probable class of the image without a square.

    Source: Zeiler & Fergus 2014, section 4.2 and figure 7, which gives no size, stride or grey.
    """

    name: str
    picture: NDArray[np.float32]
    size: tuple[int, int]
    stride: int
    value: str
    layer: str
    channel: int
    tops: NDArray[np.int64]
    lefts: NDArray[np.int64]
    activation: NDArray[np.float64]
    without: float
    rectifier: str
    projection: NDArray[np.float32]
    exemplars: Sequence[Exemplar]
    classes: Classes | None = None
    target: int | None = None
    probability: NDArray[np.float64] | None = None
    likeliest: NDArray[np.int64] | None = None
    unoccluded: tuple[float, int] | None = None

    @property
    def centres(self) -> tuple[NDArray[Any], NDArray[Any]]:
        """Row and column of the square's centre, in pixels: where the maps show a value."""
        height, width = self.size
        return self.tops + (height - 1) / 2, self.lefts + (width - 1) / 2

    def box(self, row: int, column: int) -> Box:
        """The square at a position of the maps."""
        start = int(self.tops[row]), int(self.lefts[column])
        return Box(start, (start[0] + self.size[0], start[1] + self.size[1]))

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The panels of Zeiler & Fergus 2014, figure 7.

        The square on the image, where the feature map loses most; the sum of the feature map; its
        projection here, and in the images of a store; the probability of the class; the most
        probable class. Maps show each value at the centre of the square.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = (
            f"Square of {self.size[0]} x {self.size[1]} pixels, {self.value}, in steps of "
            f"{self.stride}; {self.layer}:{self.channel} by {self.rectifier}"
        )
        row = [self._square(), self._sums(), *self._projections(), *self._classes()]
        return panels(
            [row], width=width, title=title, caption=told if caption else None, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row a position: box in pixels, sum of the map, probability, most probable class."""
        rows = []
        for row, column in np.ndindex(*self.activation.shape):
            here: dict[str, object] = {
                "box": self.box(row, column).edges,
                "activation": float(self.activation[row, column]),
            }
            if self.probability is not None and self.likeliest is not None:
                here["probability"] = float(self.probability[row, column])
                here["likeliest"] = int(self.likeliest[row, column])
            rows.append(here)
        return rows

    def _square(self) -> Panel:
        lowest = np.unravel_index(int(self.activation.argmin()), self.activation.shape)
        box, shown = self.box(int(lowest[0]), int(lowest[1])), self.picture.copy()
        shown[box.slices] = 0.5
        return Panel(shown, "image", self.name, [(box, "#000000")])

    def _sums(self) -> HeatPanel:
        spread, label = self._spread(self.activation), f"sum of {self.layer}:{self.channel}"
        high = max(self.without, float(self.activation.max()))
        return HeatPanel(spread, label, high=high, marked=(self.without, "image"))

    def _projections(self) -> list[Panel]:
        here = signed(self.projection)
        own = Panel(here, f"{self.layer}:{self.channel} here", outlines=[(_all(here), "#000000")])
        if not self.exemplars:
            return [own]
        those = [signed(one.projection) for one in self.exemplars]
        most = [max(one.shape[axis] for one in those) for axis in (0, 1)]
        block = tile([pad_to(one, *most) for one in those], columns=3)
        return [own, Panel(block, "in other images")]

    def _classes(self) -> list[Panel | HeatPanel]:
        if self.classes is None or self.probability is None or self.likeliest is None:
            return []
        assert self.target is not None, "there is a class with its probability"
        assert self.unoccluded is not None, "and it was looked up without a square"
        label = f"probability of {self.classes.named(self.target)}"
        high = max(self.unoccluded[0], float(self.probability.max()))
        marked = (self.unoccluded[0], "image")
        shown = HeatPanel(self._spread(self.probability), label, high=high, marked=marked)
        counts = Counter(self.likeliest.ravel().tolist()).most_common()
        colours = dict(zip((one for one, _ in counts), _COLOURS, strict=False))
        legend = [(colour, self.classes.named(one)) for one, colour in colours.items()]
        if len(counts) > len(colours):
            legend.append((_OTHERS, f"{len(counts) - len(colours)} others"))
        spread, picture = self._spread(self.likeliest), np.full(self.picture.shape, BLANK)
        picture[np.isfinite(spread)] = _rgb(_OTHERS)
        for one, colour in colours.items():
            picture[spread == one] = _rgb(colour)
        return [shown, Panel(picture, "most probable class", legend=legend)]

    def _spread(self, values: NDArray[Any]) -> NDArray[np.float64]:
        """Values over the image: each around the centre of its square; NaN where there is none."""
        shown = np.full(self.picture.shape[:2], np.nan)
        near, inside = zip(*map(self._nearest, (0, 1)), strict=True)
        shown[np.ix_(*inside)] = values[np.ix_(*near)]
        return shown

    def _nearest(self, axis: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """For the pixels of an axis that have one, the position whose centre is nearest."""
        centres, margin = self.centres[axis], self.stride / 2
        pixels = np.arange(self.picture.shape[axis])
        there = pixels[(pixels >= centres[0] - margin) & (pixels <= centres[-1] + margin)]
        return np.abs(there[:, None] - centres).argmin(1), there


def occlusion(
    net: DeconvNet | nn.Module,
    image: Any,
    *,
    target: int | str | None = None,
    layer: str | nn.Module | None = None,
    channel: int | None = None,
    size: int | None = None,
    stride: int | None = None,
    value: str | float | Sequence[float] = "grey",
    store: Store | None = None,
    data: Any = None,
    preprocessing: Any = None,
    classes: Sequence[str] | None = (),
    progress: bool = True,
) -> Occlusion:
    """Move a square over an image and see what the net makes of the rest.

    One forward pass for each position serves all panels, and only what the square touches is run
    again. The squares lie inside the image and reach each of its edges.

    Args:
        net: the model, or a DeconvNet of it, whose rule is that of the projections.
        image: one image, as for ``DeconvNet.project``.
        target: a class, by index or name; by default the likeliest of the image. Of a net that
            returns no class scores there are no panels of classes.
        layer: by default the last rectifier with maps.
        channel: by default the one with the greatest sum in the image, as in the paper.
        size: side of the square in pixels; by default a fifth of the image's shorter side.
        stride: pixels between positions; by default a quarter of the size.
        value: "grey" (half of white), "mean" (that of the preprocessing), a number or one number a
            channel on the scale of the net's input.
        store: mined with this net, for exemplars of the channel.
        data: what was mined, where the store holds no projections.
        preprocessing: by default the model's own.
        classes: names of the classes; None leaves the panels of classes out, as for a trunk whose
            classifier was not trained.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer, channel or class.
        ValueError: several images; a square larger than the image; a value of another kind.

    Source: Zeiler & Fergus 2014, section 4.2.
    """
    net = net_of_pictures(net)
    given = images_of(image, net, preprocessing=preprocessing)
    pixels, picture = one_picture(net, given), given.pictures[0]
    side, step = _checked(size, stride, tuple(pixels.shape[2:]))
    fill = filled(value, given.prepared, pixels)
    known = None
    if classes is not None or target is not None:
        known = classes_of(net, pixels, classes or (), needed=target is not None)
    chosen = known.checked(target) if known and target is not None else None
    named = layer_of(net, pixels, layer)
    wanted = [named] if known is None else [named, known.layer]
    whole = values(net, pixels, wanted, progress=False)
    sums = whole[named][0].double().flatten(1).sum(1)
    which = int(sums.argmax()) if channel is None else channel_of(named, channel, len(sums))
    examples = stored(store, named, which, net=net, data=data, preprocessing=preprocessing)
    projected = net.project(pixels, layer=named, channel=which, seed="map")
    assert isinstance(projected, Tensor), "without crop it is"
    tops, lefts = (grid(0, n - side, step) for n in pixels.shape[2:])
    places = np.array([(top, left) for top in tops for left in lefts], dtype=np.int64)
    squares = fill.expand(-1, -1, side, side)
    left_over, scores = [], []
    for made in covered(net, pixels, places, squares, layers=wanted, progress=progress):
        left_over.append(made[named][:, which].double().flatten(1).sum(1))
        scores.append(made[wanted[-1]])
    shape = len(tops), len(lefts)
    return Occlusion(
        given.names[0],
        picture,
        (side, side),
        step,
        value if isinstance(value, str) else f"filled with {value}",
        named,
        which,
        np.array(tops),
        np.array(lefts),
        torch.cat(left_over).reshape(shape).cpu().numpy(),
        float(sums[which]),
        str(net.policies),
        projected[0].permute(1, 2, 0).float().cpu().numpy(),
        examples,
        **(
            {}
            if known is None
            else _told(known, chosen, whole[known.layer], torch.cat(scores), shape)
        ),
    )


def _told(
    classes: Classes, target: int | None, whole: Tensor, scores: Tensor, shape: tuple[int, int]
) -> dict[str, Any]:
    """What the result says of classes, from scores without a square and with it."""
    before, after = probabilities(whole)[0], probabilities(scores)
    likeliest = int(before.argmax())
    chosen = likeliest if target is None else target
    return {
        "classes": classes,
        "target": chosen,
        "probability": after[:, chosen].reshape(shape).cpu().numpy(),
        "likeliest": after.argmax(1).reshape(shape).cpu().numpy(),
        "unoccluded": (float(before[chosen]), likeliest),
    }


def _checked(size: int | None, stride: int | None, maps: tuple[int, ...]) -> tuple[int, int]:
    """Side and stride in pixels."""
    side = max(1, round(min(maps) / 5)) if size is None else size
    if not 1 <= side <= min(maps):
        raise ValueError(
            f"size={side} was given, expected 1 to {min(maps)} pixels, the shorter side of the "
            "image"
        )
    step = max(1, round(side / 4)) if stride is None else stride
    if step < 1:
        raise ValueError(f"stride={step} was given, expected at least 1 pixel")
    return side, step


def _all(picture: NDArray[Any]) -> Box:
    return Box((0, 0), (picture.shape[0], picture.shape[1]))


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5))
