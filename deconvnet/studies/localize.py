"""Where a net sees a class: mask and box from a projection, held against true boxes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects, gaussian_filter, label
from torch import Tensor, nn

from deconvnet.arguments import check_each
from deconvnet.figures import HeatPanel, Panel, panels
from deconvnet.figures.canvas.lettering import digits
from deconvnet.net import DeconvNet
from deconvnet.units import Box, Unit

from .given import images_of, net_of_pictures
from .result import Shown
from .values import needed_classes, pixels_of, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

METHODS = ("threshold", "grabcut")
FOREGROUND, BACKGROUND = 0.95, 0.30  # quantiles of the saliency (Simonyan 2013, section 3.2)
CERTAIN = 0.995  # above this one a pixel stays foreground, as in the authors' code
OVERLAPS = (0.3, 0.5, 0.7)  # intersection over union at which a box counts (Choe 2020)
_BLUR = 1 / 32  # of the longer side: standard deviation for method "threshold"
_ROUNDS = 5  # of grabCut
_OURS, _TRUE = "#d55e00", "#56b4e9"
_SURE, _NOT, _OPEN = (0.0, 0.0, 1.0), (0.0, 1.0, 1.0), (1.0, 0.0, 0.0)  # Simonyan's figure 3


@dataclass(frozen=True, eq=False, repr=False)
class Localization(Shown):
    """Masks and boxes of a class in images; all are in the pixels that the net sees.

    Args:
        names: of the images.
        pictures: (height, width, 3) in [0, 1].
        targets: the class of each image.
        classes: their names.
        rectifier: the rule of the saliency.
        method: that made the masks.
        saliency: (height, width), the greatest absolute value of the projection over channels.
        masks: (height, width), True inside.
        boxes: around each mask; None where it is empty.
        truth: the boxes that were given, empty if none were.

    Source: Simonyan et al. 2013, sections 3.1 and 3.2.
    """

    names: Sequence[str]
    pictures: Sequence[NDArray[np.float32]]
    targets: Sequence[int]
    classes: Sequence[str]
    rectifier: str
    method: str
    saliency: Sequence[NDArray[np.float64]]
    masks: Sequence[NDArray[np.bool_]]
    boxes: Sequence[Box | None]
    truth: Sequence[Box] = ()

    @property
    def overlaps(self) -> list[float]:
        """Intersection over union of each box with the true one; empty without true boxes."""
        pairs = zip(self.boxes, self.truth, strict=False)
        return [0.0 if box is None else overlap(box, true) for box, true in pairs]

    @property
    def max_box_acc(self) -> dict[str, float]:
        """MaxBoxAccV2 of the saliency, and of a Gaussian in the middle of each image instead.

        Raises:
            ValueError: no true boxes were given.
        """
        centred = [centre(one.shape) for one in self.saliency]
        smooth = [_smoothed(one) for one in self.saliency]
        return {
            "saliency": max_box_acc(smooth, self.truth),
            "centred": max_box_acc(centred, self.truth),
        }

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row an image: boxes, saliency, its two quantiles, and the image within the mask.

        Above the 95 % quantile is blue, below the 30 % quantile cyan, the rest red, as in Simonyan
        2013, figure 3. The arguments are those of every result, see ``Shown.figure``.
        """
        told = f"Saliency by {self.rectifier}, mask by {self.method}"
        rows = [self._row(place) for place in range(len(self.names))]
        return panels(
            rows, width=width, title=title, caption=told if caption else None, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row an image: class, box, and its overlap with the true box if there is one."""
        rows: list[dict[str, object]] = [
            {"image": name, "class": known, "target": target, "box": box and box.edges}
            for name, known, target, box in zip(
                self.names, self.classes, self.targets, self.boxes, strict=True
            )
        ]
        for row, value in zip(rows, self.overlaps, strict=False):
            row["overlap"] = value
        return rows

    def _row(self, place: int) -> list[Panel | HeatPanel]:
        picture, map_, box = self.pictures[place], self.saliency[place], self.boxes[place]
        drawn = [(box, _OURS)] if box is not None else []
        legend = [(_OURS, "found")]
        if self.truth:
            drawn.append((self.truth[place], _TRUE))
            legend.append((_TRUE, f"true, overlap {digits(self.overlaps[place])}"))
        parts = np.select(
            [_above(map_)[..., None], _below(map_)[..., None]], [_SURE, _NOT], default=_OPEN
        )
        inside = np.where(self.masks[place][..., None], picture, 1 - (1 - picture) * 0.15)
        return [
            Panel(picture, self.classes[place], outlines=drawn, legend=legend),
            HeatPanel(map_, f"saliency, {self.rectifier}", self.names[place]),
            Panel(parts, "quantiles 95 % and 30 %"),
            Panel(inside, f"mask by {self.method}"),
        ]


def localize(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    target: int | str | None = None,
    method: str = "threshold",
    threshold: float = 0.2,
    boxes: Sequence[Box | Sequence[int]] | None = None,
    rectifier: str | None = None,
    preprocessing: Any = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    progress: bool = True,
) -> Localization:
    """Find a class in images by the projection of its score.

    Args:
        net: the model, or a DeconvNet of it.
        images: as for ``DeconvNet.project``.
        target: a class, by index or name; by default each image's likeliest.
        method: "threshold": the largest connected part of the blurred saliency above a share of
            its maximum; or "grabcut": pixels above the 95 % quantile are taken for the object,
            those below the 30 % quantile for the background, and OpenCV's grabCut decides by
            colour.
        threshold: that share, above 0 and below 1; 0.2 is that of Zhou et al. 2016.
        boxes: for each image the true box, (top, left, bottom, right), half-open, in the pixels of
            the preprocessed image.
        rectifier: of the saliency; by default the net's, of a model "gradient" as in the paper.
        preprocessing: by default the model's own.
        names: of the images.
        classes: names of the classes.
        progress: show a bar after a second.

    Raises:
        IndexError, KeyError: no such class.
        ValueError: the net returns no scores; no such method; boxes that are not one an image and
            inside it.
        ImportError: "grabcut" without OpenCV.

    Source: Simonyan et al. 2013, section 3.2.
    """
    if method not in METHODS or not 0 < threshold < 1:
        raise ValueError(
            f"method={method!r} and threshold={threshold} were given; expected one of "
            f"{', '.join(METHODS)}, and a threshold between 0 and 1"
        )
    if method == "grabcut":
        _opencv()
    net = net_of_pictures(net, rectifier or (None if isinstance(net, DeconvNet) else "gradient"))
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    pixels, pictures = pixels_of(net, given), given.pictures
    known = needed_classes(net, pixels, classes)
    chosen = None if target is None else known.checked(target)
    truth = [] if boxes is None else _checked(boxes, len(given), pictures[0].shape[:2])
    scores = values(net, pixels, [known.layer], does="scores", progress=progress)[known.layer]
    targets = scores.argmax(1).tolist() if chosen is None else [chosen] * len(given)
    units = [Unit(known.layer, one, image=image) for image, one in enumerate(targets)]
    projections = net.project(pixels, units=units, seed="one")
    assert isinstance(projections, Tensor), "without crop it is"
    maps = list(projections.abs().amax(1).double().cpu().numpy())
    if method == "threshold":
        masks = [_largest(_thresholded(one, threshold)) for one in maps]
    else:
        masks = [_largest(_cut(*pair)) for pair in zip(pictures, maps, strict=True)]
    return Localization(
        given.names,
        pictures,
        targets,
        [known.named(one) for one in targets],
        str(net.policies),
        method,
        maps,
        masks,
        [_around(mask) for mask in masks],
        truth,
    )


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes."""
    top, left = (max(a, b) for a, b in zip(one.start, other.start, strict=True))
    bottom, right = (min(a, b) for a, b in zip(one.stop, other.stop, strict=True))
    both = max(0, bottom - top) * max(0, right - left)
    return float(both / (np.prod(one.size) + np.prod(other.size) - both))


def max_box_acc(maps: Sequence[NDArray[Any]], truth: Sequence[Box], *, steps: int = 100) -> float:
    """MaxBoxAccV2: how many images are localised, at the best threshold for all of them.

    For each threshold, the boxes of all connected parts above that share of a map's range; the best
    of them counts if its overlap reaches 0.3, 0.5 or 0.7; the share of images, at the threshold
    best for each of these, is averaged over the three.

    Args:
        maps: (height, width) for each image.
        truth: the true box of each.
        steps: thresholds between 0 and 1.

    Raises:
        ValueError: not one box a map.

    Source: Choe et al. 2020, "Evaluating weakly supervised object localization methods right".
    """
    check_each("true boxes of images", truth, max(1, len(maps)))
    best = np.zeros((len(maps), steps))
    for place, (map_, true) in enumerate(zip(maps, truth, strict=True)):
        span = float(map_.max() - map_.min()) or 1.0
        for step in range(steps):
            parts = find_objects(_parts((map_ - map_.min()) / span >= step / steps))
            boxes = [Box((a.start, b.start), (a.stop, b.stop)) for a, b in parts]
            best[place, step] = max((overlap(box, true) for box in boxes), default=0.0)
    return float(np.mean([(best >= least).mean(0).max() for least in OVERLAPS]))


def centre(size: tuple[int, ...]) -> NDArray[np.float64]:
    """A Gaussian in the middle of an image, (height, width): the baseline of Choe et al. 2020."""
    rows, columns = (np.linspace(-1, 1, length) for length in size)
    return np.asarray(np.exp(-(rows[:, None] ** 2) - columns[None] ** 2))


def _checked(boxes: Sequence[Any], images: int, size: tuple[int, ...]) -> list[Box]:
    check_each("true boxes of images", boxes, images)
    made = []
    for one in boxes:
        box = one if isinstance(one, Box) else Box(tuple(one[:2]), tuple(one[2:]))
        edges = (*box.start, *box.stop)
        fits = len(edges) == 4 and 0 <= box.top < box.bottom <= size[0]
        if not fits or not 0 <= box.left < box.right <= size[1]:
            raise ValueError(
                f"box {edges} was given, expected (top, left, bottom, right) inside the "
                f"preprocessed image of {size[0]} x {size[1]} pixels"
            )
        made.append(box)
    return made


def _smoothed(saliency: NDArray[Any]) -> NDArray[np.float64]:
    return np.asarray(gaussian_filter(saliency, max(saliency.shape) * _BLUR, mode="nearest"))


def _thresholded(saliency: NDArray[Any], share: float) -> NDArray[np.bool_]:
    smooth = _smoothed(saliency)
    return np.asarray((smooth >= share * smooth.max()) & (smooth > 0))


def _above(saliency: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray((saliency >= np.quantile(saliency, FOREGROUND)) & (saliency > 0))


def _below(saliency: NDArray[Any]) -> NDArray[np.bool_]:
    return np.asarray(saliency <= np.quantile(saliency, BACKGROUND))


def _cut(picture: NDArray[Any], saliency: NDArray[Any]) -> NDArray[np.bool_]:
    """The object by OpenCV's graph cut, with the colours of the pixels that both quantiles leave.

    The models of colour are fitted to these pixels alone, then kept while all are decided; the
    half percent of the greatest saliency is not open to decision.
    """
    cv2, above = _opencv(), _above(saliency)
    below = _below(saliency) & ~above
    if not above.any() or not below.any():
        return above
    pixels = np.ascontiguousarray(np.rint(picture[..., ::-1] * 255).astype(np.uint8))
    seeds = np.concatenate([pixels[above], pixels[below]])[None]
    known = np.repeat([cv2.GC_FGD, cv2.GC_BGD], [above.sum(), below.sum()]).astype(np.uint8)[None]
    models = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.setRNGSeed(0)  # the models begin by k-means
    cv2.grabCut(seeds, known, None, *models, _ROUNDS, cv2.GC_INIT_WITH_MASK)
    mask = np.where(above, cv2.GC_PR_FGD, cv2.GC_PR_BGD).astype(np.uint8)
    mask[above & (saliency >= np.quantile(saliency, CERTAIN))] = cv2.GC_FGD
    cv2.grabCut(pixels, mask, None, *models, 1, cv2.GC_EVAL_FREEZE_MODEL)
    return np.asarray((mask == cv2.GC_FGD) | (mask == cv2.GC_PR_FGD))


def _opencv() -> Any:
    try:
        import cv2
    except ImportError as error:
        raise ImportError(
            'method="grabcut" needs OpenCV: pip install "deconvnet[grabcut]", or use '
            'method="threshold"'
        ) from error
    return cv2


def _parts(mask: NDArray[Any]) -> NDArray[np.int64]:
    """The number of the connected part of each pixel, from 1; corners touch."""
    return np.asarray(label(mask, np.ones((3, 3)))[0])


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The largest connected part of a mask, the first of equal ones."""
    parts = _parts(mask)
    counts = np.bincount(parts.ravel())[1:]
    return np.asarray(parts == 1 + counts.argmax()) if len(counts) else np.zeros_like(mask)


def _around(mask: NDArray[np.bool_]) -> Box | None:
    """The smallest box that holds a mask."""
    if not mask.any():
        return None
    ends = [np.flatnonzero(mask.any(1 - axis))[[0, -1]].tolist() for axis in (0, 1)]
    return Box(tuple(first for first, _ in ends), tuple(last + 1 for _, last in ends))
