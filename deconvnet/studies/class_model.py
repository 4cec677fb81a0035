"""The image that a net scores highest for a class, beside natural images of high score."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from numbers import Integral
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import listed
from deconvnet.data.resolve import needed_preprocessing
from deconvnet.figures import CurvePanel, Panel, panels
from deconvnet.figures.canvas.lettering import digits
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.units import Unit

from .given import images_of, net_of_pictures
from .result import Shown
from .values import bar, needed_classes, pixels_of, stored, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

NATURAL = 3  # natural images beside each class
FIRST = 0.2  # root mean square of ∇S / (2 penalty) at the zero image, unless a penalty is given
_RULE = "Pictures are as the preprocessing is undone, clipped to [0, 1]."


@dataclass(frozen=True, eq=False, repr=False)
class ClassModel(Shown):
    """For each class the image that maximises its score less a penalty on the image's norm.

    Args:
        targets: indices of the classes.
        names: of the classes.
        layer: the node of the scores, which stand before any softmax.
        images: (classes, channels, height, width), on the scale of the net's input.
        pictures: (height, width, 3) in [0, 1] for each: the mean is added here, and nowhere else.
        scores: (steps + 1, classes), of the image before each step and at the end.
        penalty: for each class the weight of the squared norm.
        rate: share of the way that each step goes.
        natural: for each class, pictures of natural images and their scores, highest first.

    Source: Simonyan et al. 2013, section 2 and figure 1, which gives no weight of the penalty.
    """

    rule = _RULE

    targets: Sequence[int]
    names: Sequence[str]
    layer: str
    images: NDArray[Any]
    pictures: Sequence[NDArray[np.float32]]
    scores: NDArray[np.float64]
    penalty: Sequence[float]
    rate: float
    natural: Sequence[Sequence[tuple[NDArray[np.float32], float]]]

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row for each class: its image, natural images of high score, the score at each step.

        The arguments are those of every result, see ``Shown.figure``.
        """
        told = (
            f"Score before softmax ({self.layer}) less a penalty on the squared norm, "
            f"{len(self.scores) - 1} steps from zero, mean added last"
        )
        rows = [self._row(place) for place in range(len(self.targets))]
        return panels(
            rows, width=width, title=title, caption=told if caption else None, rule=_RULE,
            parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row a class: its scores for the zero image, for its own and for natural images."""
        return [
            {
                "class": name,
                "target": target,
                "score_of_zero": float(self.scores[0, place]),
                "score": float(self.scores[-1, place]),
                "natural": [score for _, score in self.natural[place]],
                "penalty": self.penalty[place],
            }
            for place, (target, name) in enumerate(zip(self.targets, self.names, strict=True))
        ]

    def _row(self, place: int) -> list[Panel | CurvePanel]:
        last = self.scores[-1, place]
        own = Panel(self.pictures[place], f"model of {self.names[place]}", f"score {digits(last)}")
        beside = [
            Panel(one, "natural", f"score {digits(score)}") for one, score in self.natural[place]
        ]
        steps = np.arange(len(self.scores))
        return [own, *beside, CurvePanel(steps, {"": self.scores[:, place]}, "score", "step")]


def class_model(
    net: DeconvNet | nn.Module,
    target: int | str | Sequence[int | str],
    *,
    penalty: float | None = None,
    steps: int = 100,
    rate: float = 0.1,
    images: Any = None,
    store: Store | None = None,
    data: Any = None,
    preprocessing: Any = None,
    classes: Sequence[str] = (),
    progress: bool = True,
) -> ClassModel:
    """Maximise the score of a class over images: argmax S(I) - penalty ||I||², from I = 0.

    A step goes the share ``rate`` of the way to ∇S / (2 penalty), where the maximum of a linear
    score lies: it is gradient ascent with a step of rate / (2 penalty).

    Args:
        net: the model, or a DeconvNet of it; its rule plays no part.
        target: a class, by index or name, or several.
        penalty: weight of the squared norm, on the scale of the net's input; by default that for
            which ∇S / (2 penalty) of the zero image has a root mean square of ``FIRST``.
        steps: of the ascent.
        rate: above 0 and at most 1.
        images: natural ones, of which those of the highest scores are shown.
        store: instead of images, one that has the layer of the scores.
        data: what was mined, where the store holds no projections.
        preprocessing: by default the model's own; its size is that of the image.
        classes: names of the classes.
        progress: show a bar after a second.

    Raises:
        IndexError, KeyError: no such class, or no scores in the store.
        ValueError: the net returns no scores, a number is out of its range, or the score does not
            change around the zero image.

    Source: Simonyan et al. 2013, section 2. Such images need not look like what the net sees in
    natural ones (Geirhos et al. 2024): that is why these stand beside.
    """
    net = net_of_pictures(net).with_rectifier("gradient")
    prepared = needed_preprocessing(preprocessing, data=None, model=net, attributes={})
    shape = prepared.shape
    if shape is None:
        raise ValueError("the preprocessing does not say of which size it makes images; state one")
    if not (steps >= 1 and 0 < rate <= 1 and (penalty is None or penalty > 0)):
        raise ValueError(
            f"steps={steps}, rate={rate} and penalty={penalty} were given; expected at least one "
            "step, 0 < rate <= 1, and a penalty above 0"
        )
    given = None
    if images is not None:
        given = images_of(images, net, preprocessing=prepared)
    zero = next(net.model.parameters()).new_zeros(1, *shape)
    known = needed_classes(net, zero, classes)
    targets = [known.checked(one) for one in listed(target, Integral, str)]
    natural: list[list[tuple[NDArray[np.float32], float]]] = [[] for _ in targets]
    for place, one in enumerate(targets if store is not None else ()):
        examples = stored(store, known.layer, one, net=net, data=data, preprocessing=prepared)
        natural[place] = [(each.patch, each.activation) for each in examples[:NATURAL]]
    if given is not None:
        scores = values(net, pixels_of(net, given), [known.layer], progress=progress)[known.layer]
        for place, one in enumerate(targets):
            best = scores[:, one].argsort(descending=True, stable=True)[:NATURAL].tolist()
            natural[place] = [
                (prepared.picture(given.tensor[i]), float(scores[i, one])) for i in best
            ]
    made, curve, weights = _climbed(
        net, zero, [Unit(known.layer, one, image=i) for i, one in enumerate(targets)],
        penalty=penalty, steps=steps, rate=rate, progress=progress,
    )  # fmt: skip
    return ClassModel(
        targets,
        [known.named(one) for one in targets],
        known.layer,
        made.cpu().numpy(),
        [prepared.picture(one) for one in made],
        curve,
        weights,
        rate,
        natural,
    )


def _climbed(
    net: DeconvNet,
    zero: Tensor,
    units: Sequence[Unit],
    *,
    penalty: float | None,
    steps: int,
    rate: float,
    progress: bool,
) -> tuple[Tensor, NDArray[np.float64], list[float]]:
    """The maximisers of units, their scores before each step and at last, and the penalties."""
    images, curve = zero.repeat(len(units), 1, 1, 1), []
    weights = None if penalty is None else images.new_full((len(units),), penalty)
    for step in bar(range(steps + 1), "class model", total=steps + 1, progress=progress):
        recording = net.record(images, units[0].layer)
        scores = recording.activations[units[0].layer]
        curve.append([float(scores[unit.image, unit.channel]) for unit in units])
        if step == steps:
            break
        slopes = net.project(recording, units=units, seed="one")
        assert isinstance(slopes, Tensor), "without crop it is"
        if weights is None:
            weights = slopes.square().flatten(1).mean(1).sqrt() / (2 * FIRST)
            flat = [str(u) for u, one in zip(units, weights.tolist(), strict=True) if one == 0]
            if flat:
                raise ValueError(
                    f"the score of {', '.join(flat)} does not change around the zero image, from "
                    "which the ascent begins"
                )
        images = torch.lerp(images, slopes / (2 * weights[:, None, None, None]), rate)
    assert weights is not None, "there was a step"
    return images, np.array(curve), weights.tolist()
