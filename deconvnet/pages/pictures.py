"""Where the pictures of an atlas come from: the store itself, or the net and the data set."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from hashlib import blake2b
from itertools import product
from typing import Any

import numpy as np
from torch import nn

from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import given_dataset, known_preprocessing, mined_dataset
from deconvnet.data.samples import checked
from deconvnet.figures.canvas.tiles import Picture
from deconvnet.layers import Policies, Rectifier
from deconvnet.mining.exemplars import Reading, project_entries, project_exemplars
from deconvnet.mining.source import source_of
from deconvnet.mining.stored_rules import named_policies, stored_name
from deconvnet.net import DeconvNet
from deconvnet.store.picture_reading import pictures_at, stored_entries, stored_exemplars
from deconvnet.store.store import Store
from deconvnet.studies.bands import bands_of
from deconvnet.studies.given import net_of
from deconvnet.units import Exemplar

from .plan import LOWEST, PATHS, SPECTRUM, Leaf

_REFUSED = (ValueError, OSError, TypeError, ImportError, KeyError)


@dataclass(frozen=True, eq=False)
class Pictures:
    """The exemplars of a store under some rules, and the images they come from.

    Args:
        store: that was mined.
        rules: names of the rules, as a store has them.
        nets: of the rules that are recomputed, by name; the others are read from the store.
        every: a net of each rule, where the model is at hand.
        reading: the images of the data set, where it and the model are at hand.
        images: (data set, preprocessing), where they are at hand.
        notes: what the atlas lacks, and why.
    """

    store: Store
    rules: tuple[str, ...]
    nets: Mapping[str, DeconvNet]
    every: Mapping[str, DeconvNet]
    reading: Reading | None
    images: tuple[Any, Prepares] | None
    notes: tuple[str, ...]

    def strongest(self, leaf: Leaf, channels: Sequence[int]) -> dict[str, list[list[Exemplar]]]:
        """{rule: exemplars of each of the channels}, strongest first."""
        how: dict[str, Any] = {"k": leaf.k, "per_source": leaf.per_source}
        made = {}
        for rule in self.rules:
            if rule in self.nets:
                assert self.reading is not None, "nets are made with it"
                some = project_exemplars(
                    self.store, leaf.name, channels, net=self.nets[rule],
                    dataset=self.reading.dataset, preprocessing=self.reading.preprocessing, **how,
                )  # fmt: skip
            else:
                some = stored_exemplars(self.store, leaf.name, channels, rectifier=rule, **how)
            made[rule] = [self._shown(some[channel]) for channel in channels]
        return made

    def others(
        self, leaf: Leaf, kind: str, channels: Sequence[int]
    ) -> dict[str, list[list[Exemplar]]]:
        """The same of the lowest images, or of those at quantiles of the sample."""
        slots = {channel: leaf.slots(kind, channel) for channel in channels}
        # several quantiles of a small sample may be one image
        places = list(dict.fromkeys((c, slot) for c, some in slots.items() for slot in some))
        made = {}
        for rule in self.rules:
            every = self._shown(self._entries(leaf, kind, places, rule=rule))
            by_place = dict(zip(places, every, strict=True))
            made[rule] = [[by_place[c, slot] for slot in slots[c]] for c in channels]
        return made

    def _entries(
        self, leaf: Leaf, kind: str, places: Sequence[tuple[int, int]], *, rule: str
    ) -> list[Exemplar]:
        path = PATHS[kind]
        if rule not in self.nets and _has(self.store, leaf.name, rule, path=path):
            return stored_entries(self.store, leaf.name, places, rectifier=rule, path=path)
        table, reading = leaf.table_of(kind), self.reading
        assert table is not None, "there is a grid of what is there"
        assert reading is not None, "a grid of what is not stored is planned with a model alone"
        return project_entries(
            self.store, table, leaf.layer_of(kind), places, net=self.every[rule],
            dataset=reading.dataset, preprocessing=reading.preprocessing,
        )  # fmt: skip

    def shows(self, layer: str, kind: str) -> bool:
        """Whether the pictures of a kind are in the store, or can be made."""
        return bool(self.every) or all(
            _has(self.store, layer, rule, path=PATHS[kind]) for rule in self.rules
        )

    def stored(self, layers: Sequence[str]) -> str:
        """A digest of where the store has pictures of layers, under the rules of the atlas.

        Their rounding differs from that of new ones: an atlas shall be made of one kind.
        """
        digest = blake2b(digest_size=16)
        for layer, path in product(layers, PATHS.values()):
            known, arrays = pictures_at(self.store, layer, path), []
            if known is not None:
                held = {rule: known.projections.get(rule) for rule in self.rules}
                digest.update(repr([one and one.fallback for one in held.values()]).encode())
                arrays = [known.patches.offset, known.patches.length]
                arrays += [
                    array for one in held.values() if one for array in (one.offset, one.scale)
                ]
            digest.update(bytes([len(arrays)]))
            for array in arrays:
                digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    def photograph(self, index: int) -> Picture:
        """An image of the data set as the model saw it: (height, width, 3) in [0, 1]."""
        assert self.images is not None, "the plan has asked for it"
        dataset, prepared = self.images
        return prepared.picture(checked(dataset[index], index, None))

    def _shown(self, exemplars: list[Exemplar]) -> list[Exemplar]:
        prepared = self.images[1] if self.images else None
        prepared = prepared or known_preprocessing(attributes=self.store.attributes)
        bands = bands_of(None, prepared, exemplars)
        return [one.shown(bands) for one in exemplars]


def pictures_of(
    store: Store,
    layers: Sequence[str],
    *,
    net: DeconvNet | nn.Module | None,
    data: Any,
    rectifiers: Sequence[str | Rectifier],
    preprocessing: Any,
) -> Pictures:
    """Find out what is in the store, and what must be recomputed.

    Raises:
        ValueError: the store lacks projections, and the model or the data set to make them.
    """
    rules = {stored_name(one): one for one in (_policies(rule) for rule in rectifiers)}
    if not rules:
        raise ValueError("no rectifier was given; give one or several: rectifiers=('deconvnet',)")
    lacking = [(layer, rule) for layer in layers for rule in rules if not _has(store, layer, rule)]
    recomputed = set(rules) if net is not None else {rule for _, rule in lacking}
    try:
        model, dataset = source_of(store, net, data, preprocessing=preprocessing)
        nets = {rule: _net(model, _like_stored(store, one)) for rule, one in rules.items()}
        reading = Reading(store, next(iter(nets.values())), dataset, preprocessing)
    except _REFUSED as error:
        if recomputed:
            raise _refused(store, lacking, error) from error
        images = _images(store, data, preprocessing)
        made = Pictures(store, tuple(rules), {}, {}, None, images, ())
        return replace(made, notes=tuple(_notes(made, layers)))
    named = {rule: str(one.policies) if rule in recomputed else rule for rule, one in nets.items()}
    every = {named[rule]: one for rule, one in nets.items()}
    own = {named[rule]: one for rule, one in nets.items() if rule in recomputed}
    images = (reading.dataset, reading.preprocessing)
    return Pictures(store, tuple(every), own, every, reading, images, ())


def _policies(rule: str | Rectifier) -> Policies:
    return named_policies(rule) if isinstance(rule, str) else Policies.of(rule)


def _net(model: DeconvNet | nn.Module, policies: Policies) -> DeconvNet:
    """The model under a rule; a DeconvNet keeps its other choices."""
    if isinstance(model, DeconvNet):
        return net_of(model, policies.rectifier)
    return DeconvNet(model, policies)


def _has(store: Store, layer: str, rule: str, *, path: str = "") -> bool:
    known = pictures_at(store, layer, path)
    return known is not None and rule in known.projections


def _like_stored(store: Store, policies: Policies) -> Policies:
    """The policies with the fallback that stored projections of their name were made with."""
    rule = stored_name(policies)
    held = (one.projections[rule] for one in store.pictures.values() if rule in one.projections)
    return replace(policies, fallback=next((each.fallback or None for each in held), None))


def _refused(store: Store, lacking: Sequence[tuple[str, str]], error: Exception) -> ValueError:
    told = " ".join(str(error).split())
    if not lacking:
        return ValueError(told)
    layer, rule = lacking[0]
    return ValueError(
        f"{str(store.path)!r} holds no projections of {layer!r} under {rule!r}, and the model and "
        f"the data set that would make them are not at hand: {told}. Give both (net= and data=, "
        f"--model and --data), or store them: deconvnet embed --projections {rule}"
    )


def _images(store: Store, data: Any, preprocessing: Any) -> tuple[Any, Prepares] | None:
    """The data set alone, where there is no model; None if it is not at hand either."""
    prepared = known_preprocessing(preprocessing, data=data, attributes=store.attributes)
    if prepared is None:
        return None
    try:
        if data is not None:
            return given_dataset(data, preprocessing=prepared), prepared
        return mined_dataset(store.attributes, prepared), prepared
    except _REFUSED:
        return None


def _notes(pictures: Pictures, layers: Sequence[str]) -> Iterator[str]:
    """What an atlas without a model lacks."""
    words = {LOWEST: "lowest images", SPECTRUM: "range of a sample"}
    lacking = [
        f"no {what}"
        for kind, what in words.items()
        if not all(pictures.shows(layer, kind) for layer in layers)
    ]
    if lacking:
        yield f"{' and '.join(lacking)}: the model or the data set was not found"
    if pictures.images is None:
        yield "no photographs: the data set was not found"
