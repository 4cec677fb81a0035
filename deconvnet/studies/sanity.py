"""How much maps owe to the weights: compare them with those of a net whose weights are random."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import counted, integer, listed
from deconvnet.figures.randomisation import RULE, randomisation
from deconvnet.layers import Rectifier
from deconvnet.layers import rectifier as rectifier_named
from deconvnet.net import DeconvNet
from deconvnet.units import Unit

from .given import images_of, net_of_pictures
from .map_similarity import ALIKE, ANY, mean_and_band, rise
from .result import Shown
from .sanity_maps import CONTROLS, targets_of
from .sanity_run import run
from .values import pixels_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

METHODS = ("gradient", "deconvnet", "guided")
COSINE = (0.0, 1.0)  # what |cosine| can be
_WITHIN = {"complexity_rise": ANY, "random_logit": ALIKE, "convergence": COSINE}
ORDERS = ("top-down", "bottom-up", "independent")
MEANING = (
    "Similar maps after randomisation say that a map owes little to the weights drawn anew: it "
    "cannot tell what they have learned. Dissimilar maps say only that it depends on them; noise "
    "is dissimilar, too, so that this is no sign that a map is right. Measures disagree, and "
    "top-down randomisation leaves the lowest layers, which shape every map, as trained: read "
    "each curve between its controls, edges (no weights) and noise (nothing else)"
)
"""What a pass and a fail of the check mean, and what not."""


@dataclass(frozen=True, eq=False, repr=False)
class Sanity(Shown):
    """The similarity of maps to those of the same net with random weights.

    Rows of mappings are rectifiers and the three controls: "edges" of the image, fresh "noise" for
    each stage, and a "constant". There is no single verdict: measures disagree, and ``MEANING``
    says what a high and a low similarity mean.

    Args:
        names: of the images.
        target: what the maps are of, in words.
        units: the unit of each image, in the trained net.
        stages: names of what was drawn anew, in that order.
        order: "top-down" and "bottom-up" keep what was drawn before, "independent" does not.
        init: how weights were drawn.
        random_state: seed.
        noisy: over how many noisy copies of each image maps are averaged; 0 for none.
        similarity: {measure: {row: (stages, images)}} to the map of the trained net; NaN where a
            map is constant, for ranks. Measures are those of ``map_similarity.MEASURES``.
        entropy: {row: (2, images)} of the maps' histograms: trained, and all stages drawn.
        logit: {row: (images,)} SSIM of the map and that of another class or channel.
        convergence: {rectifier: (places, images)} mean |cosine| of signals that start in random
            directions, once they have passed each place.
        places: the stages that these signals have passed, from top to bottom.
        pictures: (shown, height, width, 3) the first images.
        maps: {rectifier: (1 + stages, shown, height, width, channels)} of the first images: of the
            trained net, then after each stage.
        notes: what went otherwise than expected.
        model: the class of the model.

    Source: Adebayo et al. 2018 (cascading and independent randomisation, measures); Hedström et
    al. 2023 (``complexity``, ``noisy``); Sixt et al. 2020 (``logit``, ``convergence``); Binder et
    al. 2023 (why noise passes).
    """

    names: Sequence[str]
    target: str
    units: Sequence[Unit]
    stages: Sequence[str]
    order: str
    init: str
    random_state: int
    noisy: int
    similarity: Mapping[str, Mapping[str, NDArray[np.float64]]]
    entropy: Mapping[str, NDArray[np.float64]]
    logit: Mapping[str, NDArray[np.float64]]
    convergence: Mapping[str, NDArray[np.float64]]
    places: Sequence[str]
    pictures: NDArray[np.float32]
    maps: Mapping[str, NDArray[np.float32]]
    notes: Sequence[str] = ()
    model: str = ""

    rule: ClassVar[str] = RULE

    @property
    def rectifiers(self) -> list[str]:
        """The rows that are no controls."""
        return [row for row in self.entropy if row not in CONTROLS]

    @property
    def complexity(self) -> dict[str, NDArray[np.float64]]:
        """{row: (images,)} relative rise of the entropy when all stages are drawn (eMPRT)."""
        return {
            row: np.array([rise(*map(float, pair)) for pair in both.T])
            for row, both in self.entropy.items()
        }

    def curve(self, measure: str, row: str) -> NDArray[np.float64]:
        """(3, stages): mean over images, and both ends of its 95 % confidence interval."""
        every = self.similarity[measure][row]
        bands = [mean_and_band(values, within=ALIKE) for values in every]
        return np.array(bands).T

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """The maps after each stage, as Adebayo et al. 2018, figure 2; below them the curves.

        Bands are 95 % confidence intervals of the mean over images. The arguments are those of
        every result, see ``Shown.figure``.
        """
        return randomisation(
            self.pictures,
            self.maps,
            self.stages,
            {name: {row: self.curve(name, row) for row in rows}
             for name, rows in self.similarity.items()},
            complexity={row: mean_and_band(v) for row, v in self.complexity.items()},
            logit={row: mean_and_band(v, within=ALIKE) for row, v in self.logit.items()},
            convergence={row: np.array([mean_and_band(v, within=COSINE) for v in values]).T
                         for row, values in self.convergence.items()},
            controls=CONTROLS, together=self.order != "independent", width=width, title=title,
            caption=self.caption if caption else None, parent=parent,
        )  # fmt: skip

    @property
    def caption(self) -> str:
        """How it was made, and what it means."""
        count = counted(len(self.names), "image")
        noisy = f", maps averaged over {self.noisy} noisy copies" if self.noisy else ""
        inside = ", inside the receptive field" if any(u.position for u in self.units) else ""
        made = (
            f"Target: {self.target}{inside}; "
            f"{count}; weights drawn anew {self.order} ({self.init}, "
            f"random_state {self.random_state}){noisy}; bands are 95 % confidence intervals"
        )
        return ". ".join([made, *self.notes, MEANING])

    def table(self) -> list[dict[str, object]]:
        """One row a stage and row of the curves: mean of each measure with its interval.

        ``compared`` is the number of images with a value, of the measure that has fewest.
        """
        rows = []
        for number, stage in enumerate(self.stages):
            for name in self.entropy:
                here: dict[str, object] = {"stage": stage, "rectifier": name}
                counts = []
                for measure, every in self.similarity.items():
                    values = every[name][number]
                    mean, low, high = mean_and_band(values, within=ALIKE)
                    key = measure.replace(" ", "_")
                    here |= {key: mean, f"{key}_low": low, f"{key}_high": high}
                    counts.append(int(np.isfinite(values).sum()))
                rows.append({**here, "compared": min(counts)})
        return rows

    def scores(self) -> list[dict[str, object]]:
        """One row a rectifier or control: what is measured once, not at each stage.

        ``complexity_rise`` (eMPRT; higher: the trained map is simpler than the random one),
        ``random_logit`` (SSIM; higher: the map is much the same for another class) and
        ``convergence`` (|cosine| at the images; 1: it is the same whatever the signal was above).
        """
        rows = []
        for name in self.entropy:
            row: dict[str, object] = {"rectifier": name}
            parts = {"complexity_rise": self.complexity[name], "random_logit": self.logit[name]}
            if name in self.convergence and len(self.places):
                parts["convergence"] = self.convergence[name][-1]
            for key, values in parts.items():
                mean, low, high = mean_and_band(values, within=_WITHIN[key])
                row |= {key: mean, f"{key}_low": low, f"{key}_high": high}
            rows.append(row)
        return rows

    def line(self, *rectifiers: str) -> str:
        """A line for other figures: how similar rectifiers' maps are to those of the random net.

        It is of the last stage; of independent stages, of that to which the maps are least similar
        by the first measure.

        Raises:
            KeyError: a rectifier is not among those that were checked.
        """
        parts = []
        for rectifier in rectifiers:
            if rectifier not in self.rectifiers:
                known = ", ".join(self.rectifiers)
                raise KeyError(f"{rectifier!r} was not checked; this sanity check holds {known}")
            means = {m: self.curve(m, rectifier)[0] for m in self.similarity}
            first = np.nan_to_num(next(iter(means.values())), nan=np.inf)
            at = int(first.argmin()) if self.order == "independent" else -1
            told = ", ".join(f"{name} {value[at]:.2f}" for name, value in means.items())
            parts.append(f"{rectifier} {told}")
        count = counted(len(self.names), "image")
        drawn = f"{counted(len(self.stages), 'stage')} {self.order}, {count}, {self.target}"
        return f"Similarity to maps of random weights ({drawn}): {'; '.join(parts)}"


def line_of(sanity: object, rectifiers: Sequence[str], model: str) -> str:
    """What a figure of some rectifiers says of a sanity check; empty without one.

    Args:
        sanity: the result, or None.
        rectifiers: names, also with further choices of the mirror: "guided, unpooling centre".
        model: the class of the model of the figure; empty if it is not known.

    Raises:
        KeyError: a rectifier was not checked.
        TypeError: something else than the result of ``sanity``.
        ValueError: it is of another model.
    """
    if sanity is None:
        return ""
    if not isinstance(sanity, Sanity):
        raise TypeError(f"sanity={sanity!r} was given, expected the result of deconvnet.sanity")
    if model and model != sanity.model:
        raise ValueError(f"the sanity check is of {sanity.model}, the figure of {model}")
    return sanity.line(*(name.partition(", ")[0] for name in rectifiers))


def sanity(
    net: DeconvNet | nn.Module,
    images: Any,
    *,
    rectifiers: str | Rectifier | Sequence[str | Rectifier] = METHODS,
    target: Any = "class",
    order: str = "top-down",
    stages: int | Sequence[str] = 8,
    init: str = "truncated_normal",
    init_std: float = 0.01,
    random_state: int = 0,
    noisy: int = 0,
    shown: int = 1,
    preprocessing: Any = None,
    names: Sequence[str] = (),
    classes: Sequence[str] = (),
    progress: bool = True,
) -> Sanity:
    """Draw the weights of a net anew, stage by stage, and compare its maps with those before.

    The signals start with 1. The work is done on a copy of the model; one that cannot be copied
    gets its own weights back, bit for bit, also after an error or an interrupt.

    Args:
        net: the model, or a DeconvNet of it.
        images: pictures, as for ``compare``.
        rectifiers: the rules whose maps are checked.
        target: "class", the likeliest of each image in the trained net, at every stage;
            "likeliest", that of the net as it is at each stage (Adebayo's notebook); a class by
            index or name; a ``Unit``, without a position the strongest of its channel in the
            trained net; or one of these for each image. Of a unit behind a rectifier the maps are
            those of what the rectifier is given, which has a derivative where the unit is off; they
            are compared inside of its receptive field, outside of which all maps are zero.
        order: "top-down" draws the highest layer first and keeps what was drawn, "bottom-up" the
            lowest; "independent" draws one stage, all others being as trained.
        stages: at most how many, of as many layers each; or the names of layers or modules, each
            of which is one. Only what lies below the target is drawn: what lies above cannot
            matter. A normalisation belongs to the layer below it.
        init: "truncated_normal" (Adebayo et al. 2018) or "reset" (each layer's own
            ``reset_parameters``); see ``randomised.Randomiser``.
        init_std: standard deviation of the former.
        random_state: seed; every layer has a generator of its own, the same in every order.
        noisy: average each map over so many copies of the image with noise of a tenth of its range
            (Hedström et al. 2023 use 50).
        shown: of how many images, the first ones, the maps are kept and drawn.
        preprocessing: by default the model's own.
        names: of the images.
        classes: names of the classes.
        progress: show a bar after a second.

    Raises:
        IndexError, KeyError: no such class, layer or channel.
        TypeError: a target of another kind.
        ValueError: a word of another kind; weights that cannot be drawn, or are drawn equal for
            two layers; or that the model does not use, since its values stay the same.
        UnmirroredError: an activation has no rule under a rectifier.
    """
    if order not in ORDERS:
        raise ValueError(f"order={order!r} was given, expected one of {', '.join(ORDERS)}")
    for name, number, least in ("noisy", noisy, 0), ("shown", shown, 1):
        if integer(name, number) < least:
            raise ValueError(f"{name}={number} was given, expected {least} or more")
    rules = [rectifier_named(one) for one in listed(rectifiers, str, Rectifier)]
    if not rules or {str(one) for one in rules} & set(CONTROLS):
        raise ValueError(f"rectifiers={rectifiers!r} was given, expected some of {METHODS}, …")
    net = net_of_pictures(net)
    given = images_of(images, net, preprocessing=preprocessing, names=names)
    pixels = pixels_of(net, given)
    pictures = np.stack(given.pictures[:shown])
    targets = targets_of(net.with_rectifier("gradient"), pixels, target, classes)
    for rule in rules:  # which may have no rule for an activation
        net.with_rectifier(rule).record(pixels[:1], targets.layer)
    made = run(
        net.with_rectifier("gradient"), rules, pixels, targets, stages=stages, order=order,
        init=init, std=init_std, noisy=noisy, random_state=random_state, shown=shown,
        progress=progress,
    )  # fmt: skip
    how = f"{init}, standard deviation {init_std:g}" if init == "truncated_normal" else init
    return Sanity(
        given.names, targets.told, targets.units, made.stages, order, how, random_state, noisy,
        made.similarity, made.entropy, made.logit, made.convergence, made.places, pictures,
        made.maps, made.notes, type(net.model).__name__,
    )  # fmt: skip
