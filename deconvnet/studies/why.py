"""Why a net takes one class for another: both maps, the units that speak for each, and rescues."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import percent
from deconvnet.figures import HeatPanel, Panel, pad_to, panels, signed, tile
from deconvnet.figures.canvas.lettering import digits
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.units import Box, Exemplar, Unit

from .contributions import contributions
from .covering import covered, filled
from .given import images_of, net_of_pictures
from .result import Shown
from .values import grid, layer_of, needed_classes, one_picture, probabilities, stored, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

SPEAKERS = 4  # units that are shown for each class
_SQUARE, _STEPS = 1 / 5, 4  # of the shorter side, and steps in a square's side


@dataclass(frozen=True, eq=False, repr=False)
class Why(Shown):
    """One image that a net takes for one class, and another class.

    Args:
        name: of the image.
        picture: (height, width, 3) in [0, 1].
        true: index of the class that was expected.
        predicted: index of the class that the net prefers.
        known: names of both.
        margin: score of the predicted class less that of the true one, before softmax.
        rectifier: the rule of the maps.
        maps: {"predicted": projection, "true": projection}, (height, width, channels), signed;
            under the gradient also their "difference", that of the margin. Other rules are not
            additive in what they start with, so that a difference would be no map of anything.
        layer: of the units.
        speaks: (channels,) what each channel of the layer adds to the margin.
        units: the units that add most, then those that take most, in this image.
        exemplars: {channel: the strongest in a store}; empty without one.
        places: (places, 2) top and left of a square.
        side: of the square.
        rescue: (places,) probability of the true class with the square there.
        rescued: (places,) whether it is then the likeliest.
    """

    name: str
    picture: NDArray[np.float32]
    true: int
    predicted: int
    known: tuple[str, str]
    margin: float
    rectifier: str
    maps: Mapping[str, NDArray[np.float32]]
    layer: str
    speaks: NDArray[np.float64]
    units: Sequence[Exemplar]
    exemplars: Mapping[int, Sequence[Exemplar]]
    places: NDArray[np.int64]
    side: int
    rescue: NDArray[np.float64]
    rescued: NDArray[np.bool_]

    @property
    def best(self) -> Box:
        """The square under which the true class is most probable."""
        top, left = self.places[int(self.rescue.argmax())].tolist()
        return Box((top, left), (top + self.side, left + self.side))

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The image, both maps and where a square rescues the true class; below the units.

        The arguments are those of every result, see ``Shown.figure``.
        """
        known, true = self.known[1], self.known[0]
        told = (
            f"{known} instead of {true}, margin {digits(self.margin)}; units of {self.layer} by "
            f"what they add to it, patch and projection by {self.rectifier}"
        )
        rows: list[list[Panel | HeatPanel]] = [[self._image(), *self._maps(), self._rescues()]]
        rows += [row for row in (self._speakers(1), self._speakers(-1)) if row]
        return panels(
            rows, width=width, title=title, caption=told if caption else None, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row a unit that is shown: its activation and what its channel adds to the margin."""
        return [
            {**one.row(self.name), "adds": float(self.speaks[one.unit.channel])}
            for one in self.units
        ]

    def _image(self) -> Panel:
        shown, box = self.picture.copy(), self.best
        shown[box.slices] = 0.5
        note = "rescued here" if self.rescued.any() else "no square rescues"
        return Panel(shown, f"{self.known[1]}, not {self.known[0]}", note, [(box, "#000000")])

    def _maps(self) -> list[Panel]:
        names = {"predicted": self.known[1], "true": self.known[0], "difference": "difference"}
        return [
            Panel(signed(map_), names[which], self.rectifier) for which, map_ in self.maps.items()
        ]

    def _rescues(self) -> HeatPanel:
        shown = np.full(self.picture.shape[:2], np.nan)
        tops, lefts = (np.unique(self.places[:, axis]) for axis in (0, 1))
        grid_ = self.rescue.reshape(len(tops), len(lefts))
        ends = []
        for axis, firsts in enumerate((tops, lefts)):
            centres = firsts + (self.side - 1) / 2
            pixels = np.arange(self.picture.shape[axis])
            inside = pixels[(pixels >= centres[0]) & (pixels <= centres[-1])]
            ends.append((inside, np.abs(inside[:, None] - centres).argmin(1)))
        shown[np.ix_(ends[0][0], ends[1][0])] = grid_[np.ix_(ends[0][1], ends[1][1])]
        share = f"likeliest at {percent(float(self.rescued.mean()))} of places"
        return HeatPanel(shown, f"probability of {self.known[0]}", share)

    def _speakers(self, sign: int) -> list[Panel | HeatPanel]:
        """The units that speak for the predicted class, or with -1 for the true one."""
        mine = [one for one in self.units if self.speaks[one.unit.channel] * sign > 0]
        word = self.known[1] if sign > 0 else self.known[0]
        row: list[Panel | HeatPanel] = []
        for one in mine:
            channel = one.unit.channel
            pictures = [one.patch, signed(one.projection)]
            pictures += [other.patch for other in self.exemplars.get(channel, [])[:2]]
            most = [max(each.shape[axis] for each in pictures) for axis in (0, 1)]
            block = tile([pad_to(each, *most) for each in pictures], columns=2)
            label = f"{self.layer}:{channel}"
            row.append(Panel(block, label, f"{digits(abs(self.speaks[channel]))} for {word}"))
        return row


def why(
    net: DeconvNet | nn.Module,
    image: Any,
    *,
    true: int | str,
    predicted: int | str | None = None,
    layer: str | nn.Module | None = None,
    value: str | float | Sequence[float] = "grey",
    store: Store | None = None,
    data: Any = None,
    preprocessing: Any = None,
    classes: Sequence[str] = (),
    progress: bool = True,
) -> Why:
    """Show why a net prefers one class to another.

    Args:
        net: the model, or a DeconvNet of it, whose rule is that of the maps.
        image: one image, as for ``DeconvNet.project``.
        true: the class that was expected, by index or name.
        predicted: the other class; by default the net's likeliest.
        layer: of the units; by default the last rectifier with maps. What its channels add, and the
            biases above it, sum to the margin of the two scores if no path goes round it.
        value: what the square is filled with that hides a region, as for ``deconvnet.occlusion``.
        store: mined with this net, for exemplars of the units.
        data: what was mined, where the store holds no projections.
        preprocessing: by default the model's own.
        classes: names of the classes.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or class.
        ValueError: several images, or both classes are the same.
    """
    net = net_of_pictures(net)
    given = images_of(image, net, preprocessing=preprocessing)
    pixels, picture = one_picture(net, given), given.pictures[0]
    known = needed_classes(net, pixels, classes)
    expected = known.checked(true, "true")
    named = layer_of(net, pixels, None) if layer is None else net.graph.find(layer)
    fill = filled(value, given.prepared, pixels)
    scores = values(net, pixels, [known.layer], progress=False)[known.layer][0]
    other = int(scores.argmax()) if predicted is None else known.checked(predicted, "predicted")
    if other == expected:
        raise ValueError(
            f"the predicted class is the true one, {known.named(other)}; give another as predicted"
        )
    pair = [Unit(known.layer, one) for one in (other, expected)]
    projected = net.project(pixels, units=pair, seed="one")
    assert isinstance(projected, Tensor), "without crop it is"
    drawn = dict(zip(("predicted", "true"), projected, strict=True))
    if str(net.policies.rectifier) == "gradient":
        drawn["difference"] = projected[0] - projected[1]
    added = [contributions(net, pixels, [one], named) for one in pair]
    speaks = added[0].sums[0] - added[1].sums[0]
    channels = _speakers(speaks)
    lower = [(added[0] if speaks[c] > 0 else added[1]).lower(0, c) for c in channels]
    units = project_units(net, pixels, lower, preprocessing=given.prepared) if lower else []
    examples = {
        c: stored(store, named, c, net=net, data=data, preprocessing=preprocessing)
        for c in (channels if store is not None else ())
    }
    side = max(1, round(min(pixels.shape[2:]) * _SQUARE))
    tops, lefts = (grid(0, n - side, max(1, side // _STEPS)) for n in pixels.shape[2:])
    places = np.array([(top, left) for top in tops for left in lefts], dtype=np.int64)
    squares = fill.expand(-1, -1, side, side)
    hidden = covered(net, pixels, places, squares, layers=[known.layer], progress=progress)
    after = probabilities(torch.cat([made[known.layer] for made in hidden]))
    return Why(
        given.names[0],
        picture,
        expected,
        other,
        (known.named(expected), known.named(other)),
        float(scores[other] - scores[expected]),
        str(net.policies.rectifier),
        {name: one.permute(1, 2, 0).float().cpu().numpy() for name, one in drawn.items()},
        named,
        speaks,
        units,
        examples,
        places,
        side,
        after[:, expected].cpu().numpy(),
        (after.argmax(1) == expected).cpu().numpy(),
    )


def _speakers(speaks: NDArray[np.float64]) -> list[int]:
    """The channels that add most to the margin, then those that take most."""
    order = np.argsort(-speaks, kind="stable").tolist()
    adding = [c for c in order[:SPEAKERS] if speaks[c] > 0]
    return adding + [c for c in order[::-1][:SPEAKERS] if speaks[c] < 0]
