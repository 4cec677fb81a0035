"""Sanity checks of maps of class scores and of inner units, of two nets with trained weights."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray

import deconvnet as dn
from deconvnet import zoo
from deconvnet.data import Preprocessing
from deconvnet.projection.receptive_field import boxes_of
from deconvnet.studies.map_similarity import mean_and_band, similarities, views
from deconvnet.studies.sanity import Sanity
from deconvnet.zoo.load import load

PHOTOGRAPHS = ("chelsea", "coffee", "astronaut", "motorcycle", "rocket", "camera")
DRAWS = (0, 1)  # seeds of random weights
STAGES = 6
SIDE = 112  # pixels, half of what VGG-16 was trained on: a quarter of the work


@dataclass(frozen=True, eq=False)
class Case:
    """A net, and the layer whose units are checked.

    Args:
        name: of the net.
        net: with its preprocessing.
        images: as ``dn.sanity`` takes them.
        names: of the images.
        layer: whose strongest channel of each image is checked; None for the likeliest class.
        draws: seeds of random weights.
    """

    name: str
    net: dn.DeconvNet
    images: object
    names: Sequence[str]
    layer: str | None
    draws: Sequence[int] = DRAWS

    @property
    def target(self) -> str:
        """What is checked, in words."""
        return f"units of {self.layer}" if self.layer else "class scores"


def embedded(count: int) -> list[Case]:
    """The embedded network, on tiles of photographs that do not overlap."""
    tiles = zoo.photographs()
    numbers = np.linspace(0, len(tiles) - 1, count).astype(int)
    images = torch.stack([tiles[int(number)] for number in numbers])
    net = dn.DeconvNet(zoo.zfnet_mini(), preprocessing=zoo.PREPROCESSING)
    names = [f"tile {number}" for number in numbers]
    return [Case("embedded", net, images, names, layer) for layer in (None, "relu5", "relu3")]


def vgg16(weights: str, count: int) -> list[Case]:
    """The convolutions of VGG-16, on photographs of scikit-image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the classifier is missing, and not used
        loaded = load("torchvision:vgg16", weights)
    assert isinstance(loaded.preprocessing, Preprocessing), "torchvision's own"
    small = replace(loaded.preprocessing, size=(SIDE, SIDE), resize=SIDE + 16)
    net = dn.DeconvNet(loaded.model, preprocessing=small)
    names = PHOTOGRAPHS[:count]
    images = [zoo.photograph(name) for name in names]
    return [Case("VGG-16", net, images, names, layer) for layer in ("features.21", "features.14")]


def strongest(case: Case) -> list[dn.Unit]:
    """The unit of the layer that fires most in each image, in the central half of the map.

    There its receptive field leaves the image least.
    """
    ((layer, maps),) = case.net.record(case.images, case.layer).activations.items()
    tops = [size // 4 for size in maps.shape[2:]]
    rows, columns = (slice(top, size - top) for top, size in zip(tops, maps.shape[2:], strict=True))
    central = maps[:, :, rows, columns]
    places = np.unravel_index(central.flatten(1).argmax(1).numpy(), central.shape[1:])
    return [
        dn.Unit(layer, channel, tops[0] + row, tops[1] + column)
        for channel, row, column in np.stack(places, axis=1).tolist()
    ]


def checked(case: Case, seed: int, *, progress: bool = True) -> Sanity:
    """The check of one case, for one draw of weights."""
    target = strongest(case) if case.layer else "class"
    return dn.sanity(
        case.net, case.images, target=target, stages=STAGES, random_state=seed, names=case.names,
        shown=len(case.names), progress=progress,
    )  # fmt: skip


def first_image(result: Sanity) -> Sanity:
    """The same result, of which the maps of the first image alone are drawn."""
    maps = {rule: states[:, :1] for rule, states in result.maps.items()}
    return replace(result, pictures=result.pictures[:1], maps=maps)


@dataclass(frozen=True, eq=False)
class Row:
    """What was measured of one rule, or control, in one case: means over images and draws.

    Args:
        net: its name.
        target: what the maps are of.
        rule: or control.
        images: how many.
        draws: of random weights.
        top: SSIM with the map of the trained net when only the highest stage is random.
        all_but_one: the same when all stages but the lowest are.
        half: half the width of its 95 % interval over images.
        ssim: the same when all stages are.
        pair: SSIM of the maps of two random nets: what is alike without anything trained.
        ranks: rank correlation of absolute values with the trained net, when all stages are random.
        pair_ranks: the same of two random nets.
        logit: SSIM of the trained net's maps of two classes or channels.
        convergence: |cosine| at the pixels of signals that started in random directions.
        emprt: relative rise of the entropy, when all stages are random.
    """

    net: str
    target: str
    rule: str
    images: int
    draws: int
    top: float
    all_but_one: float
    half: float
    ssim: float
    pair: float
    ranks: float
    pair_ranks: float
    logit: float
    convergence: float
    emprt: float


def rows(case: Case, results: Sequence[Sanity]) -> list[Row]:
    """The rows of a case, of the results of its draws."""
    return [_row(case, results, rule) for rule in results[0].entropy]


def _row(case: Case, results: Sequence[Sanity], rule: str) -> Row:
    """Each image counts once, with its mean over draws, so that the interval is over images."""
    ssim = _over_draws([one.similarity["ssim"][rule] for one in results])
    ranks = _over_draws([one.similarity["absolute spearman"][rule][-1] for one in results])
    pairs = _pairs(case, results, rule)
    passed = [one.convergence[rule][-1] for one in results if rule in one.convergence]
    mean, low, high = mean_and_band(ssim[-2])
    return Row(
        case.name,
        case.target,
        rule,
        images=len(results[0].names),
        draws=len(results),
        top=_mean(ssim[0]),
        all_but_one=mean,
        half=(high - low) / 2,
        ssim=_mean(ssim[-1]),
        pair=_mean([one["ssim"] for one in pairs]),
        ranks=_mean(ranks),
        pair_ranks=_mean([one["absolute spearman"] for one in pairs]),
        logit=_mean(_over_draws([one.logit[rule] for one in results])),
        convergence=_mean(_over_draws(passed) if passed else ()),
        emprt=_mean(_over_draws([one.complexity[rule] for one in results])),
    )


def _pairs(case: Case, results: Sequence[Sanity], rule: str) -> list[dict[str, float]]:
    """How alike the maps of two random nets are, of each image and two draws that follow."""
    if rule not in results[0].maps:
        return []
    units, (*_, rows, columns, bands) = results[0].units, results[0].maps[rule].shape
    layer, places = units[0].layer, [unit.position or () for unit in units]
    geometry = case.net.geometry((bands, rows, columns), [layer])
    found = []
    for one, other in pairwise(results):
        for number, box in enumerate(boxes_of(geometry, layer, places)):
            cut = (-1, number, *box.slices)
            maps = [each.maps[rule][cut].transpose(2, 0, 1) for each in (one, other)]
            found.append(similarities(*map(views, maps)))
    return found


def _over_draws(values: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    return np.asarray(np.mean(np.stack(values), axis=0))


def _mean(values: Sequence[float] | NDArray[np.float64]) -> float:
    """Of the images that have a value: a constant map has no rank."""
    there = np.asarray(values, dtype=np.float64)
    there = there[np.isfinite(there)]
    return float(there.mean()) if there.size else float("nan")
