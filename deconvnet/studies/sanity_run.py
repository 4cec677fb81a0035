"""The run of a sanity check: the trained net, then stage by stage with random weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet
from deconvnet.projection.receptive_field import boxes_of

from .copies import copied, kept, trusted
from .map_similarity import (
    MEASURES,
    NAN,
    Map,
    entropy,
    signed_grey,
    similarities,
    ssim_of_either_sign,
    views,
)
from .randomised import Randomiser, Stage, stages_of, weights_below
from .sanity_maps import CONTROLS, Explainer, Maps, Targets, controls, convergence, in_parts
from .sanity_maps import places_below as places_of
from .values import bar

Rows = dict[str, NDArray[np.float64]]  # {rectifier or control: numbers}
_OTHER = 1 << 20  # in place of the number of a stage, for the noise that stands for another class


class Measured:
    """What is measured of the maps of a net, as its weights change.

    Maps of units are measured inside of their receptive fields: outside of it they are zero
    whatever the weights are, and would be alike for that alone. So are the controls.

    Args:
        explain: gives the maps.
        pixels: (images, channels, height, width).
        shown: of how many images maps are kept.
        random_state: seed of the control "noise".

    Attributes:
        entropies: {row: (images,)} of every state that was measured.
        alike: {measure: {row: (images,)}} to the first state, of every later one.
        maps: {rectifier: (shown, height, width, channels)} of every state.
    """

    def __init__(
        self, explain: Explainer, pixels: Tensor, *, shown: int, random_state: int
    ) -> None:
        self.explain, self.pixels = explain, pixels
        self.shown, self.random_state = shown, random_state
        self.entropies: list[Rows] = []
        self.alike: list[dict[str, Rows]] = []
        self.maps: list[dict[str, NDArray[np.float32]]] = []
        self.notes: list[str] = []
        self._first: dict[tuple[str, int], Mapping[str, Map]] = {}
        self._values: list[Tensor] = []
        self._moved: set[str] = set(CONTROLS)  # rows that are not the same in every state
        targets = explain.targets
        geometry = explain.net.geometry(tuple(pixels.shape[1:]), [targets.layer])
        places = [unit.position or () for unit in targets.units]
        self._boxes = boxes_of(geometry, targets.layer, places)

    def take(self, name: str, before: int) -> None:
        """Measure the maps as they are now.

        Args:
            name: of the stage that was drawn last; empty for the trained net.
            before: the state whose weights differ by this stage, for a check of the values.

        Raises:
            ValueError: the values of the target's layer are the same as then.
        """
        rows = [*self.explain.rules, *CONTROLS]
        entropies = {row: np.full(len(self.pixels), NAN) for row in rows}
        alike = {m: {row: np.full(len(self.pixels), NAN) for row in rows} for m in MEASURES}
        kept: dict[str, list[NDArray[Any]]] = {row: [] for row in self.explain.rules}
        values = []
        for first, part in in_parts(self.pixels):
            maps, plain = self.explain(part, first)
            values.append(plain.cpu())
            for row, number, one in self._each(maps, part, first):
                seen = views(self._inside(one, number))
                entropies[row][number] = entropy(seen["signed"])
                if number < self.shown and row in kept:
                    kept[row].append(one.transpose(1, 2, 0).astype(np.float32))
                if not self.entropies:
                    self._first[row, number] = seen
                    continue
                trained = self._first[row, number]
                for measure, value in similarities(trained, seen).items():
                    alike[measure][row][number] = value
                if not np.array_equal(trained["absolute"], seen["absolute"]):
                    self._moved.add(row)
        self._values.append(torch.cat(values))
        if self.entropies:
            self._check_values(name, before)
            self.alike.append(alike)
        self.entropies.append(entropies)
        self.maps.append({row: np.stack(some) for row, some in kept.items()})

    def _each(
        self, maps: Maps, part: Tensor, first: int
    ) -> Iterator[tuple[str, int, NDArray[np.float64]]]:
        """Row, number of the image, and map (channels, height, width), controls among them."""
        known = controls(part, first, stage=len(self.entropies), random_state=self.random_state)
        for row, every in {**maps, **known}.items():
            for number, one in enumerate(every, start=first):
                yield row, number, one

    def _inside(self, one: NDArray[np.float64], number: int) -> NDArray[np.float64]:
        """The part of a map (channels, height, width) that the unit of this image sees."""
        return one[(slice(None), *self._boxes[number].slices)]

    def _check_values(self, name: str, before: int) -> None:
        now, then = self._values[-1], self._values[before]
        if not torch.equal(now, then):
            return
        layer = self.explain.targets.layer
        if bool((now == now[:1]).all()) and len(now) > 1:
            self.notes.append(f"with random {name} the values of {layer} are those of a dead net")
            return
        raise ValueError(
            f"the values of {layer} are the same with random weights in {name}: the model does not "
            "use these weights but a copy of them, or keeps what it has computed; switch that off, "
            "since similar maps would then say nothing"
        )

    def unmoved(self) -> list[str]:
        """A note for each rectifier whose maps were the same, to the last bit, in all states."""
        return [
            f"the maps of {row} are the same in every state of the net: they do not depend on its "
            "weights, or were kept from an earlier call"
            for row in self.explain.rules
            if row not in self._moved
        ]

    def logit(self) -> Rows:
        """{row: (images,)} SSIM of the first maps and those of another channel of the same net."""
        targets = self.explain.targets
        alike = {row: np.full(len(self.pixels), NAN) for row in (*self.explain.rules, *CONTROLS)}
        if targets.channels < 2:
            return alike
        others = targets.others(self.random_state)
        for first, part in in_parts(self.pixels):
            units = others[first : first + len(part)]
            local = [replace(one, image=row) for row, one in enumerate(units)]
            maps = self.explain.of(part, local, first)
            noise = controls(part, first, stage=_OTHER, random_state=self.random_state)
            for row, every in {**maps, **noise}.items():
                for number, one in enumerate(every, start=first):
                    trained, other = self._first[row, number], self._inside(one, number)
                    alike[row][number] = ssim_of_either_sign(trained["signed"], signed_grey(other))
        return alike


@dataclass(frozen=True, eq=False)
class Outcome:
    """What a run gives, in the words of ``Sanity``, which explains them."""

    stages: list[str]
    similarity: dict[str, Rows]
    entropy: Rows
    logit: Rows
    convergence: Rows
    places: list[str]
    maps: dict[str, NDArray[np.float32]]
    notes: list[str]


def run(
    net: DeconvNet,
    rules: Sequence[Rectifier],
    pixels: Tensor,
    targets: Targets,
    *,
    stages: int | Sequence[str],
    order: str,
    init: str,
    std: float,
    noisy: int,
    random_state: int,
    shown: int,
    progress: bool,
) -> Outcome:
    """Measure the net as it is trained, then after each stage; ``sanity`` explains the arguments.

    The net's graph has been held against its model for these images.
    """
    draws = partial(Randomiser, init=init, std=std, random_state=random_state)
    wanted = stages_of(weights_below(net.graph, targets.layer), stages)
    draws(net.model).check(wanted)
    with ExitStack() as stack:
        own = copied(net, pixels[:2], targets.layer)
        if own is None:
            stack.enter_context(kept(net.model))
            own = net
        own, randomiser = trusted(own), draws(own.model)
        parts = stages_of(weights_below(own.graph, targets.layer), stages)
        explain = Explainer(
            own, {str(rule): own.with_rectifier(rule) for rule in rules}, targets,
            noisy=noisy, random_state=random_state,
        )  # fmt: skip
        made = Measured(explain, pixels, shown=shown, random_state=random_state)
        made.take("", 0)
        logit = made.logit()
        places = places_of(own.graph, own, pixels, targets.layer, parts)
        at = list(dict.fromkeys(places.values()))
        signals = {
            rule: convergence(one, pixels, targets, at, random_state=random_state)
            for rule, one in explain.rules.items()
        }
        ordered = parts if order == "bottom-up" else parts[::-1]
        for name in bar(
            _drawn(randomiser, ordered, order), "sanity", total=len(ordered), progress=progress
        ):
            before = len(made.alike) if order != "independent" else 0
            made.take(name, before)
        if order == "independent" and len(ordered) > 1:
            randomiser.put_back()
            for part in ordered:
                randomiser.draw(part)
            made.take("all stages", 0)
    return _outcome(made, [part.name for part in ordered], logit, signals, _passed(places, at))


def _drawn(randomiser: Randomiser, stages: Sequence[Stage], order: str) -> Iterator[str]:
    """The name of each stage, once its weights are drawn."""
    for stage in stages:
        if order == "independent":
            randomiser.put_back()
        randomiser.draw(stage)
        yield stage.name


def _passed(places: Mapping[str, str], at: Sequence[str]) -> list[str]:
    """For each node the last stage that a signal has passed as it comes there."""
    last = {node: stage for stage, node in places.items()}
    return [last[node] for node in at]


def _outcome(
    made: Measured, stages: list[str], logit: Rows, signals: Rows, places: list[str]
) -> Outcome:
    curves = made.alike[: len(stages)]
    maps = made.maps[: len(stages) + 1]
    ends = made.entropies[0], made.entropies[-1]
    return Outcome(
        stages,
        {m: {row: np.stack([one[m][row] for one in curves]) for row in logit} for m in MEASURES},
        {row: np.stack([end[row] for end in ends]) for row in logit},
        logit,
        signals,
        places,
        {row: np.stack([state[row] for state in maps]) for row in maps[0]},
        [*made.notes, *made.unmoved()],
    )
