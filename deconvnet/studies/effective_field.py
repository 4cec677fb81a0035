"""How much of its receptive field a unit responds to, beside the exact field."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import counted, listed, percent
from deconvnet.figures import CurvePanel, HeatPanel, Panel, panels
from deconvnet.net import DeconvNet
from deconvnet.projection.result import Projection
from deconvnet.units import Box, Unit

from .given import images_of, net_of_pictures
from .result import Shown
from .values import AT_ONCE, bar, channel_of, layer_of, pixels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SHARE = 0.0455  # of the centre: two standard deviations of a Gaussian leave 4.55 % outside
CHANNELS = 16  # spread over a layer, unless channels are named


@dataclass(frozen=True, eq=False, repr=False)
class EffectiveField(Shown):
    """The mean absolute gradient of the central unit of a layer, over images and channels.

    Args:
        layer: of the units.
        position: of the central unit in its map.
        channels: that were averaged.
        images: how many images were.
        box: the exact receptive field, clipped to the image.
        size: height and width of the image.
        gradient: (height, width) within the box: summed over colours, averaged over the rest.

    Source: Luo et al. 2016.
    """

    rule = "The gradient is divided by its value in the centre."

    layer: str
    position: tuple[int, ...]
    channels: Sequence[int]
    images: int
    box: Box
    size: tuple[int, ...]
    gradient: NDArray[np.float64]

    @property
    def centre(self) -> float:
        """The gradient in the centre of the field, the greatest of up to four pixels."""
        rows, columns = (slice((n - 1) // 2, n // 2 + 1) for n in self.gradient.shape)
        return float(self.gradient[rows, columns].max())

    @property
    def mask(self) -> NDArray[np.bool_]:
        """(height, width) within the box: where the gradient is above 4.55 % of the centre's."""
        return np.asarray(self.gradient > SHARE * self.centre)

    @property
    def share(self) -> float:
        """The share of the exact field's pixels that are in the mask."""
        return float(self.mask.mean())

    @property
    def side(self) -> float:
        """The side of a square of as many pixels as are in the mask."""
        return float(np.sqrt(self.mask.sum()))

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The gradient over the exact field, the effective field, and both through the centre.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = (
            f"{self.layer}, central unit, {counted(len(self.channels), 'channel')}, "
            f"{counted(self.images, 'image')}; effective: above 4.55 % of the centre"
        )
        relative = self.gradient / (self.centre or 1.0)
        exact = " x ".join(map(str, self.gradient.shape))
        inside = np.where(self.mask[..., None], (0.0, 0.45, 0.7), (1.0, 1.0, 1.0))
        row: list[Panel | HeatPanel | CurvePanel] = [
            HeatPanel(relative, f"mean |gradient| of {self.layer}",
                      f"exact field {exact}; centre = 1", low=0),
            Panel(inside, "effective field",
                  f"{percent(self.share)} of it, side {self.side:.0f} px",
                  [(Box((0, 0), self.gradient.shape), "#000000")]),
            self._profile(relative),
        ]  # fmt: skip
        return panels(
            [row], width=width, title=title, caption=told if caption else None, rule=self.rule,
            parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row: layer, exact field in pixels, side of the effective one, and its share."""
        return [
            {
                "layer": self.layer,
                "exact": self.box.edges,
                "side": self.side,
                "share": self.share,
                "images": self.images,
            }
        ]

    def _profile(self, relative: NDArray[np.float64]) -> CurvePanel:
        middle = [length // 2 for length in relative.shape]
        longest = max(relative.shape)
        curves = {}
        for name, line in (("row", relative[middle[0]]), ("column", relative[:, middle[1]])):
            before = (longest - len(line)) // 2
            after = longest - len(line) - before
            curves[name] = np.pad(line, (before, after), constant_values=np.nan)
        away = np.arange(longest) - longest // 2
        return CurvePanel(
            away, curves, "row and column through the centre", "pixels from the centre",
            legend=True, low=0.0, y_label="mean |gradient|, centre = 1",
        )  # fmt: skip


def effective_field(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    layer: str | nn.Module | None = None,
    channels: int | Sequence[int] | None = None,
    preprocessing: Any = None,
    progress: bool = True,
) -> EffectiveField:
    """The effective receptive field of the central unit of a layer.

    Args:
        net: the model, or a DeconvNet of it; the gradient is taken whatever its rule.
        images: as for ``DeconvNet.project``; they need no preprocessing if they are tensors.
        layer: by default the last rectifier with maps.
        channels: by default 16 that are spread evenly over the layer.
        preprocessing: by default the model's own.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or channel.
        ValueError: the layer has no maps; the gradient is zero in the centre for all images.

    Source: Luo et al. 2016, "Understanding the effective receptive field in deep convolutional
    neural networks".
    """
    net = net_of_pictures(net).with_rectifier("gradient")
    given = images_of(images, net, preprocessing=preprocessing)
    pixels = pixels_of(net, given)
    named = layer_of(net, pixels, layer)
    _, count, *maps = net.geometry(tuple(pixels.shape[1:]), [named]).sizes[named]
    chosen = [channel_of(named, one, count) for one in listed(channels, Integral)] if (
        channels is not None
    ) else np.unique(np.linspace(0, count - 1, CHANNELS).round().astype(int)).tolist()  # fmt: skip
    position = tuple(length // 2 for length in maps)
    whole = pixels.new_zeros(pixels.shape[2:])
    starts, stops = [], []
    units = [
        Unit.at(named, c, position=position, image=i) for i in range(len(pixels)) for c in chosen
    ]
    parts = [units[first : first + AT_ONCE] for first in range(0, len(units), AT_ONCE)]
    for some in bar(parts, "effective field", total=len(parts), progress=progress):
        for one in net.project(pixels, units=some, seed="one", crop=True):
            assert isinstance(one, Projection), "with crop all are"
            whole[one.box.slices] += one.pixels.abs().sum(0)
            starts.append(one.box.start)
            stops.append(one.box.stop)
    box = Box(
        tuple(int(n) for n in np.min(starts, axis=0)), tuple(int(n) for n in np.max(stops, axis=0))
    )
    mean = (whole[box.slices] / len(units)).double().cpu().numpy()
    result = EffectiveField(named, position, chosen, len(given), box, tuple(pixels.shape[2:]), mean)
    if not result.centre > 0:
        raise ValueError(
            f"the gradient of {named} is zero in the centre of its field for all of these images; "
            "give more images, or channels that respond"
        )
    return result
