"""How far features move as an image is shifted, scaled and turned."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from deconvnet.arguments import check_each
from deconvnet.data import Preprocessing
from deconvnet.data.given_images import GivenImages
from deconvnet.data.pictures import Prepares
from deconvnet.figures import CurvePanel, Panel, panels
from deconvnet.figures.canvas.lettering import digits
from deconvnet.net import DeconvNet

from .given import images_of, net_of_pictures
from .result import Shown
from .values import Classes, bar, classes_of, pixels_of, probabilities, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_SHIFT = 60 / 224  # of the height: Zeiler & Fergus shifted images of 224 pixels by up to 60
TRANSFORMS = {"translation": "rows down", "scale": "times larger", "rotation": "degrees"}
"""The unit of each transform: content moves down, grows, and turns counter-clockwise."""


@dataclass(frozen=True, eq=False, repr=False)
class Invariance(Shown):
    """Distances between the features of images and of the same images transformed.

    Args:
        names: of the images.
        layers: whose values are the features.
        transforms: {transform: (points,) its values}.
        examples: {transform: pictures of the first image at the least, middle and greatest value}.
        distances: {transform: {layer: (images, points)}}, Euclidean.
        norms: {layer: (images,)} of the features of the images as they are.
        classes: of the net; None where it has none.
        targets: the class of each image.
        probability: {transform: (images, points)} of that class.
        filled: for each image, whether places that a transform vacates had to be filled with the
            nearest pixel; else they are in the larger photograph.

    Source: Zeiler & Fergus 2014, section 4.1 and figure 5, which says neither how distances were
    normalised nor how places were filled.
    """

    names: Sequence[str]
    layers: Sequence[str]
    transforms: Mapping[str, NDArray[np.float64]]
    examples: Mapping[str, Sequence[NDArray[np.float32]]]
    distances: Mapping[str, Mapping[str, NDArray[np.float64]]]
    norms: Mapping[str, NDArray[np.float64]]
    classes: Classes | None
    targets: Sequence[int]
    probability: Mapping[str, NDArray[np.float64]]
    filled: Sequence[bool]

    def relative(self, transform: str, layer: str) -> NDArray[np.float64]:
        """(images, points): distances by the norm of the features of the image as it is."""
        norms = self.norms[layer][:, None]
        distances = self.distances[transform][layer]
        return np.divide(distances, norms, out=np.zeros_like(distances), where=norms > 0)

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row a transform: examples, relative distances at each layer, probability of the class.

        The arguments are those of every result, see ``Shown.figure``.
        """
        some = sum(self.filled)
        told = "Distances are divided by the norm of the features of the image as it is"
        told += f"; vacated places are filled in {some} of {len(self.names)} images" if some else ""
        rows = [self._row(name, legend=name == [*self.transforms][-1]) for name in self.transforms]
        return panels(
            rows, names=list(self.transforms), width=width, title=title,
            caption=told if caption else None, parent=parent,
            rule="Vacated places are cropped from a larger photograph, else the nearest pixel.",
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row an image, transform and value: distance, relative distance, probability."""
        rows = []
        for transform, points in self.transforms.items():
            for (image, name), (point, value) in (
                (one, other) for one in enumerate(self.names) for other in enumerate(points)
            ):
                row: dict[str, object] = {"image": name, transform: float(value)}
                for layer in self.layers:
                    row[layer] = float(self.distances[transform][layer][image, point])
                    row[f"{layer}, relative"] = float(self.relative(transform, layer)[image, point])
                if self.classes is not None:
                    row["probability"] = float(self.probability[transform][image, point])
                rows.append(row)
        return rows

    def _row(self, transform: str, *, legend: bool) -> list[Panel | CurvePanel]:
        points = self.transforms[transform]
        row: list[Panel | CurvePanel] = [
            Panel(picture, note=f"{digits(value)}")
            for picture, value in zip(
                self.examples[transform], points[_shown(len(points))], strict=True
            )
        ]
        named, unit = _unique(self.names), TRANSFORMS[transform]
        for layer in self.layers:
            curves = dict(zip(named, self.relative(transform, layer), strict=True))
            first = layer == self.layers[0]
            row.append(
                CurvePanel(points, curves, layer, unit, legend and first, low=0.0,
                           y_label="relative distance")
            )  # fmt: skip
        if self.classes is not None:
            named = _unique([self.classes.named(one) for one in self.targets])
            curves = dict(zip(named, self.probability[transform], strict=True))
            row.append(CurvePanel(points, curves, "probability", unit, legend, low=0.0, high=1.0))
        return row


def invariance(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    target: int | str | Sequence[int | str] | None = None,
    layers: Sequence[str | nn.Module] | None = None,
    transforms: Sequence[str] | Mapping[str, Sequence[float]] = tuple(TRANSFORMS),
    preprocessing: Any = None,
    names: Sequence[str] = (),
    classes: Sequence[str] | None = (),
    progress: bool = True,
) -> Invariance:
    """Transform images and compare the features of a net.

    Of paths and PIL images the whole photograph is transformed, and what the net sees is cropped
    from it afterwards; where a photograph ends, and in tensors, its nearest pixel is repeated.

    Args:
        net: the model, or a DeconvNet of it; its rule plays no part.
        images: as for ``DeconvNet.project``.
        target: the class of all images, or of each; by default each image's likeliest.
        layers: by default the first and the last rectifier.
        transforms: "translation" (in rows, downward), "scale" and "rotation" (in degrees,
            counter-clockwise), with the values of each in a mapping; by default shifts up to
            60 / 224 of the height, scales 1 to 1.8 and rotations 0 to 350 as in the paper.
        preprocessing: by default the model's own.
        names: of the images.
        classes: names of the classes; None leaves the probability out, as for a trunk whose
            classifier was not trained.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or class.
        ValueError: an unknown transform or one without values; scales that are not above 0.

    Source: Zeiler & Fergus 2014, section 4.1.
    """
    net = net_of_pictures(net)
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    pixels, prepared = pixels_of(net, given), given.prepared
    swept = _checked(transforms, pixels.shape[2])
    known = None
    if classes is not None or target is not None:
        known = classes_of(net, pixels, classes or (), needed=target is not None)
    targets = _targets(known, target, len(given))
    chosen = _layers(net, pixels, layers)
    wanted = [*dict.fromkeys([*chosen, *([] if known is None else [known.layer])])]
    sources = [source.to(pixels) for source in _sources(images, given, prepared)]
    still = values(net, pixels, wanted, progress=False)
    if known is not None and not targets:
        targets = still[known.layer].argmax(1).tolist()
    distances: dict[str, dict[str, Any]] = {}
    probability: dict[str, Any] = {}
    work = [(name, source) for name in swept for source in range(len(sources))]
    for name, number in bar(work, "invariance", total=len(work), progress=progress):
        moved = torch.stack(
            [transformed(sources[number], pixels.shape[2:], **{name: v}) for v in swept[name]]
        )
        made = values(net, moved, wanted, progress=False)
        for layer in chosen:
            away = (made[layer] - still[layer][number]).double().flatten(1).norm(dim=1)
            distances.setdefault(name, {}).setdefault(layer, []).append(away.cpu().numpy())
        if known is not None:
            scores = probabilities(made[known.layer])[:, targets[number]]
            probability.setdefault(name, []).append(scores.cpu().numpy())
    return Invariance(
        given.names,
        chosen,
        swept,
        {
            name: [
                prepared.picture(transformed(sources[0], pixels.shape[2:], **{name: value}))
                for value in points[_shown(len(points))]
            ]
            for name, points in swept.items()
        },
        {n: {layer: np.stack(v) for layer, v in d.items()} for n, d in distances.items()},
        {n: still[n].double().flatten(1).norm(dim=1).cpu().numpy() for n in chosen},
        known,
        targets,
        {name: np.stack(one) for name, one in probability.items()},
        [source.shape[1:] == pixels.shape[2:] for source in sources],
    )


def transformed(
    source: Tensor,
    size: Sequence[int],
    *,
    translation: float = 0.0,
    scale: float = 1.0,
    rotation: float = 0.0,
) -> Tensor:
    """The middle of a photograph after it was transformed about its centre.

    Args:
        source: (channels, rows, columns).
        size: height and width that are cropped, as a centre crop takes them.
        translation: rows by which the content moves down.
        scale: by which it grows.
        rotation: degrees by which it turns, counter-clockwise.

    Returns:
        (channels, *size), sampled bilinearly; beyond its border the source's nearest pixel.
    """
    rows, columns = source.shape[1:]
    angle = math.radians(rotation)
    start = [round((n - m) / 2) for n, m in zip((rows, columns), size, strict=True)]
    y, x = torch.meshgrid(
        *(
            torch.arange(m, dtype=torch.double) + first
            for m, first in zip(size, start, strict=True)
        ),
        indexing="ij",
    )
    middle = [first + (m - 1) / 2 for m, first in zip(size, start, strict=True)]
    y, x = (y - middle[0] - translation) / scale, (x - middle[1]) / scale
    # rows point down, so that a counter-clockwise turn is undone by this one
    down = math.cos(angle) * y + math.sin(angle) * x + middle[0]
    right = -math.sin(angle) * y + math.cos(angle) * x + middle[1]
    places = torch.stack([(2 * right + 1) / columns - 1, (2 * down + 1) / rows - 1], dim=-1)
    sampled = F.grid_sample(
        source[None].double(), places[None].to(source.device), padding_mode="border",
        align_corners=False,
    )  # fmt: skip
    return sampled[0].to(source.dtype)


def _checked(transforms: Any, height: int) -> dict[str, NDArray[np.float64]]:
    """{transform: its values}."""
    usual = {
        "translation": np.unique(np.round(np.linspace(-_SHIFT, _SHIFT, 13) * height)),
        "scale": np.linspace(1.0, 1.8, 9),
        "rotation": np.arange(0.0, 351.0, 10.0),
    }
    names = [transforms] if isinstance(transforms, str) else list(transforms)
    unknown = [name for name in names if name not in usual]
    if unknown or not names:
        raise ValueError(f"transforms were {names}; expected some of {', '.join(usual)}")
    swept = {
        name: np.asarray(transforms[name], dtype=float)
        if isinstance(transforms, Mapping)
        else usual[name]
        for name in names
    }
    for name, points in swept.items():
        if points.ndim != 1 or not len(points) or not np.isfinite(points).all():
            raise ValueError(f"{name} was {points.tolist()}, expected one or more finite numbers")
    if "scale" in swept and swept["scale"].min() <= 0:
        raise ValueError(f"scale was {swept['scale'].tolist()}, expected numbers above 0")
    return swept


def _targets(known: Classes | None, target: Any, images: int) -> list[int]:
    if known is None or target is None:
        return []
    given = list(target) if isinstance(target, list | tuple) else [target] * images
    check_each("targets of images", given, images)
    return [known.checked(one) for one in given]


def _layers(net: DeconvNet, pixels: Tensor, layers: Any) -> list[str]:
    """Names of layers; by default the first and the last that is an activation."""
    if layers is not None:
        named = [layers] if isinstance(layers, str | nn.Module) else list(layers)
        return [net.graph.find(one) for one in named]
    steps = net.geometry(tuple(pixels.shape[1:])).steps
    ruled = [step.name for step in steps if step.layer.activation_name]
    ruled = [name for name in ruled if net.graph.nodes[name].kind.lower() != "softmax"]
    if not ruled:
        raise ValueError(f"{type(net.model).__name__} has no rectifiers; name the layers")
    return list(dict.fromkeys([ruled[0], ruled[-1]]))


def _sources(images: Any, given: GivenImages, prepared: Prepares) -> list[Tensor]:
    """What each image is cropped from: the whole photograph as it was resized, or the image."""
    ones = list(images) if isinstance(images, list | tuple) else [images]
    sources = []
    for one, tensor in zip(
        ones if len(ones) == len(given) else given.tensor, given.tensor, strict=True
    ):
        photo = prepared.read(one) if isinstance(one, str | PathLike) else one
        if isinstance(prepared, Preprocessing) and isinstance(photo, Image.Image):
            tensor = _whole(photo, prepared)
        sources.append(tensor)
    return sources


def _whole(photo: Image.Image, prepared: Preprocessing) -> Tensor:
    """A photograph as the preprocessing resizes and normalises it, before it crops."""
    short = min(photo.size)
    to = short if prepared.resize is None else prepared.resize
    width, height = (int(to * side / short) for side in photo.size)
    sampling = Image.Resampling[prepared.interpolation.upper()]
    resized = photo.convert("RGB").resize((width, height), sampling)
    return replace(prepared, size=(height, width), resize=None)(resized)


def _shown(points: int) -> list[int]:
    """Which values are shown as pictures: the least, the middle and the greatest."""
    return sorted({0, points // 2, points - 1})


def _unique(names: Sequence[str]) -> list[str]:
    """Names of curves, told apart by a number where they are the same."""
    return [n if names.count(n) == 1 else f"{n} ({i})" for i, n in enumerate(names)]
