"""The first two layers of several nets beside each other, to choose an architecture."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import Brief, numeral, percent
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import first_image
from deconvnet.figures import CurvePanel, Panel, pad_to, panels, signed, tile
from deconvnet.net import DeconvNet
from deconvnet.units import Exemplar, shown

from .frequencies import EDGES, beyond, spectrum
from .given import net_of_pictures
from .result import Shown
from .strongest import projected, strongest

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

RADIUS = 0.1  # Zeiler & Fergus 2014, section 3
_PICTURES = 16  # projections of layer 2


@dataclass(frozen=True, eq=False)
class Architecture(Brief):
    """The first two layers of one net.

    Args:
        filters: node of the first convolution.
        layers: nodes of the first activation after it, and of the first one after the next
            convolution: layers 1 and 2.
        weights: (channels, bands, height, width), the filters of the first convolution.
        stride: of the first convolution, rows and columns.
        radius: the largest root mean square of a clipped filter.
        dead: {layer: (channels,) booleans}, True for a channel that is positive nowhere in the
            data set.
        exemplars: the strongest units of channels of layer 2 that are spread over it.
    """

    filters: str
    layers: tuple[str, str]
    weights: NDArray[np.float32]
    stride: tuple[int, ...]
    radius: float
    dead: Mapping[str, NDArray[np.bool_]]
    exemplars: Sequence[Exemplar]

    @property
    def rms(self) -> NDArray[np.float64]:
        """(channels,) root mean square of each filter, over all of its bands and taps."""
        return np.asarray(np.sqrt(np.square(self.weights, dtype=np.float64).mean((1, 2, 3))))

    @property
    def exceeding(self) -> NDArray[np.bool_]:
        """(channels,): the filters that the clip rescales."""
        return np.asarray(self.rms > self.radius)

    @property
    def clipped(self) -> NDArray[np.float64]:
        """The weights with each filter whose RMS exceeds the radius rescaled to it."""
        factors = np.where(self.exceeding, self.radius / np.maximum(self.rms, self.radius), 1.0)
        return np.asarray(self.weights * factors[:, None, None, None])

    @property
    def dominance(self) -> float:
        """The largest RMS of a filter divided by the median."""
        return float(self.rms.max() / (np.median(self.rms) or math.nan))

    @property
    def aliasing(self) -> float:
        """The share of the filters' energy above the Nyquist frequency of the first stride.

        A frequency above ``0.5 / stride`` cycles per pixel along an axis cannot be told from a
        lower one in the map. Zeiler & Fergus 2014, section 4.1, name the stride as the cause of
        the artefacts in layer 2 and give no number; this measure is ours.
        """
        return beyond(self.weights, self.stride)

    @property
    def artefacts(self) -> float:
        """The same share of the projections of layer 2, averaged over them; NaN without any."""
        shares = [
            beyond(np.moveaxis(one.projection, -1, 0)[None], self.stride) for one in self.exemplars
        ]
        return float(np.mean(shares)) if shares else math.nan


@dataclass(frozen=True, eq=False, repr=False)
class Architectures(Shown):
    """The first two layers of several nets, beside each other.

    Args:
        nets: {name: what was seen of it}.
        radius: of the clip.
        images: how many images the data set has.
        rectifiers: the rule of each net's projections.

    Source: Zeiler & Fergus 2014, section 4.1 and figure 6.
    """

    rule: ClassVar[str] = (
        "All filters of a picture are divided by its largest absolute weight, each projection by "
        "the 99.5 % quantile of its absolute values; zero is mid-grey."
    )

    nets: Mapping[str, Architecture]
    radius: float
    images: int
    rectifiers: Sequence[str]

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row a net: filters as trained and clipped, their spectra, projections of layer 2.

        Filters of a picture share one scale, so that one that dominates is seen to do so. A curve
        is the share of the filters' energy in each band of frequencies; that of filters of white
        noise stands beside it. The arguments are those of every result, see ``Shown.figure``.
        """
        rules = ", ".join(dict.fromkeys(self.rectifiers))
        told = (
            f"Filters clipped at RMS {self.radius:g}; dead: positive nowhere in {self.images} "
            f"images; projections of the strongest unit of channels of layer 2 by {rules}"
        )
        highest = max(max(map(max, _spectra(one).values())) for one in self.nets.values())
        return panels(
            [_row(one, highest) for one in self.nets.values()],
            names=list(self.nets), width=width, title=title, caption=told if caption else None,
            rule=self.rule, parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row a net: filters, how many are clipped, dominance, dead shares, aliasing."""
        return [
            {
                "net": name,
                "filters": one.filters,
                "channels": len(one.weights),
                "clipped": int(one.exceeding.sum()),
                "dominance": one.dominance,
                **{f"dead {number}": float(one.dead[layer].mean())
                   for number, layer in enumerate(one.layers, start=1)},
                "aliasing": one.aliasing,
                "artefacts": one.artefacts,
            }
            for name, one in self.nets.items()
        ]  # fmt: skip


def architectures(
    nets: Mapping[str, DeconvNet | nn.Module],
    data: Any,
    *,
    radius: float = RADIUS,
    preprocessing: Any = None,
    progress: bool = True,
) -> Architectures:
    """Compare the first two layers of nets, as Zeiler & Fergus chose theirs.

    Args:
        nets: {name: model, or a DeconvNet of it}; of a DeconvNet the rule of the projections is its
            own, of a model "deconvnet".
        data: the images, as for ``deconvnet.mine``; of a folder each net takes them at its size.
        radius: filters of the first convolution whose RMS exceeds it are shown rescaled to it, as
            the paper does during training.
        preprocessing: by default the data's own, else that of each model.
        progress: show a bar after a second.

    Raises:
        TypeError: ``nets`` is no mapping of names.
        ValueError: no nets; a radius that is not positive; a net without two convolutions of
            images, each with an activation after it.

    Source: Zeiler & Fergus 2014, sections 3 and 4.1.
    """
    if not isinstance(nets, Mapping):
        raise TypeError(f"nets was a {type(nets).__name__}, expected {{name: net}}")
    if not nets:
        raise ValueError("no nets were given; give at least one, {name: net}")
    if not radius > 0:
        raise ValueError(f"radius={radius} was given, expected a number above 0")
    mirrored = {str(name): net_of_pictures(net) for name, net in nets.items()}
    read = {name: _Read.of(net, data, preprocessing) for name, net in mirrored.items()}
    made = {name: one.seen(radius, name, progress) for name, one in read.items()}
    images = len(next(iter(read.values())).data)
    return Architectures(
        made, radius, images, [str(net.policies.rectifier) for net in mirrored.values()]
    )


@dataclass(frozen=True, eq=False)
class _Read(Brief):
    """A net with its data set and its first layers: all that is checked before the work."""

    net: DeconvNet
    data: Any
    prepared: Prepares
    first: str
    filters: tuple[Tensor, tuple[int, ...]]
    layers: tuple[str, str]

    @classmethod
    def of(cls, net: DeconvNet, data: Any, preprocessing: Any) -> _Read:
        data = given_dataset(data, preprocessing=preprocessing, model=net)
        prepared = needed_preprocessing(preprocessing, data=data, model=net)
        image = first_image(data)
        first, filters, layers = _first_layers(net, tuple(image.shape))
        net.record(image[None], [layers[1]])  # whether the rule knows its activations
        return cls(net, data, prepared, first, filters, layers)

    def seen(self, radius: float, name: str, progress: bool) -> Architecture:
        responses = strongest(self.net, self.data, self.layers, does=name, progress=progress)
        second, (filters, stride) = self.layers[1], self.filters
        return Architecture(
            self.first,
            self.layers,
            filters.detach().float().cpu().numpy(),
            stride,
            radius,
            {layer: ~responses[layer].alive for layer in self.layers},
            [
                projected(self.net, self.data, second, channel, responses[second],
                          preprocessing=self.prepared)
                for channel in _spread(np.flatnonzero(responses[second].alive))
            ],
        )  # fmt: skip


def _first_layers(
    net: DeconvNet, size: tuple[int, ...]
) -> tuple[str, tuple[Tensor, tuple[int, ...]], tuple[str, str]]:
    """The first convolution, and the first activations after it and after the next one."""
    filters: list[tuple[str, tuple[Tensor, tuple[int, ...]]]] = []
    layers: list[str] = []
    for step in net.geometry(size).steps:
        own = step.layer.filters
        if own is not None and len(filters) == len(layers):
            filters.append((step.node, own))
        elif step.layer.activation_name and len(filters) > len(layers):
            layers.append(step.node)
        if len(layers) == 2 and filters[0][1][0].ndim == 4:
            return *filters[0], (layers[0], layers[1])
    raise ValueError(
        f"{type(net.model).__name__} has the convolutions {[name for name, _ in filters]} and "
        f"after them the activations {layers}; expected a net of images whose first two "
        "convolutions have an activation after each"
    )


def _spread(channels: NDArray[np.int64]) -> list[int]:
    """Some of the channels, evenly spread over them."""
    places = np.linspace(0, max(0, len(channels) - 1), min(len(channels), _PICTURES))
    return [int(channels[place]) for place in places.round().astype(int)]


def _spectra(one: Architecture) -> dict[str, NDArray[np.float64]]:
    """{curve: shares of energy} as they are drawn."""
    noise = np.zeros((1, 1, *one.weights.shape[2:]))
    noise[..., 0, 0] = 1.0  # one tap has the flat spectrum of white noise
    drawn = {"as trained": spectrum(one.weights), "white noise": spectrum(noise)}
    # where nothing is clipped both curves are the same
    return {**drawn, "clipped": spectrum(one.clipped)} if one.exceeding.any() else drawn


def _row(one: Architecture, highest: float) -> list[Panel | CurvePanel]:
    channels, (first, second) = len(one.weights), one.layers
    centres = (EDGES[1:] + EDGES[:-1]) / 2
    size = " x ".join(map(str, one.weights.shape[2:]))
    kind = f"{channels} of {size}, stride {' x '.join(map(str, dict.fromkeys(one.stride)))}"
    told = [f"{_dead(one, layer)} dead" for layer in one.layers]
    return [
        Panel(_tiled(one.weights), f"{one.filters} as trained", f"{kind}\n{first}: {told[0]}"),
        Panel(_tiled(one.clipped), f"clipped at RMS {one.radius:g}",
              f"{one.exceeding.sum()} of {channels} rescaled\n"
              f"largest RMS {one.dominance:.1f} x median"),
        CurvePanel(centres, _spectra(one), "share of energy", "cycles per pixel", legend=True,
                   low=0.0, high=1.05 * highest, aspect=1.0),
        Panel(_projections(one), f"{second}, projections",
              f"{told[1]}\n{percent(one.artefacts)} above {numeral(0.5 / max(one.stride))} cycles "
              "per pixel"),
    ]  # fmt: skip


def _dead(one: Architecture, layer: str) -> str:
    return f"{one.dead[layer].sum()} of {len(one.dead[layer])}"


def _tiled(weights: NDArray[Any]) -> NDArray[Any]:
    """All filters as one picture, on one scale."""
    colours = shown(np.moveaxis(weights, 1, -1))
    most = np.abs(colours).max() or 1.0
    return tile(list(0.5 + 0.5 * colours / most), columns=math.ceil(math.sqrt(len(weights))))


def _projections(one: Architecture) -> NDArray[Any]:
    """The projections of layer 2 as one picture; grey if all of its channels are dead."""
    pictures = [signed(each.shown().projection) for each in one.exemplars]
    if not pictures:
        return np.full((8, 8, 3), 0.5)
    most = [max(picture.shape[axis] for picture in pictures) for axis in (0, 1)]
    columns = math.ceil(math.sqrt(len(pictures)))
    return tile([pad_to(picture, *most) for picture in pictures], columns=columns)
