"""The settings of a mining run, and how those of parts and stores on disk differ from them."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from deconvnet.mining.topk.keys import LAST_IMAGE
from deconvnet.store.format import DEFAULTS, RANKS
from deconvnet.store.store import Store

from .directions import SET, Directed, Source, Vectors

MEANT = {
    "model_fingerprint": "model",
    "dataset_fingerprint": "data set",
    "transform": "preprocessing",
    "images": "number of images",
    "k": "k",
    "lowest": "number of lowest",
    "sample": "size of the sample",
    "random_state": "random state",
    "rank": "rank",
    "layers": "choice of layers",
    "directions": "set of directions",
    "batch_shape": "batch shape",
    "dtype": "precision",
    "nan_policy": "treatment of NaN",
}
"""What a table depends on: {attribute: its name in a message}."""
MADE = {
    "device": "kind of device",
    "threads": "number of threads",
    "layout": "memory layout",
    "versions": "version of a package",
}
"""What its last bits depend on besides, so that parts of one table must share it."""
_VERSIONS = ("deconvnet", "torch")  # the others do not compute


@dataclass(frozen=True)
class Request:
    """All that the tables of a run depend on."""

    attributes: Mapping[str, Any]  # of the store to be written
    images: int  # of the data set
    channels: Mapping[str, int]  # by layer, in the order of the network
    lowest_of: Mapping[str, str] = field(default_factory=dict)
    """by layer: the node whose lowest activations are its own; empty where none are asked for"""
    directions: Mapping[str, Vectors] = field(default_factory=dict)
    """by layer: directions in its channels, mined as if each were one more channel"""

    @property
    def batch(self) -> int:
        """Images in a microbatch."""
        return int(self.attributes["batch_shape"][0])

    @property
    def total(self) -> int:
        """How many microbatches there are."""
        return -(-self.images // self.batch)

    @property
    def k(self) -> int:
        """How many images are kept for each channel."""
        return int(self.attributes["k"])

    @property
    def lowest(self) -> int:
        """How many of the lowest are kept for each channel."""
        return int(self._told["lowest"])

    @property
    def tops(self) -> dict[Source, int]:
        """{layer, or directions: channels} of what the strongest are kept of."""
        return dict[Source, int](self.channels.items()) | self._directed

    @property
    def lows(self) -> dict[Source, int]:
        """{node, or directions: channels} of what the lowest are kept of."""
        nodes = ((node, self.channels[layer]) for layer, node in self.lowest_of.items())
        return dict[Source, int](nodes) | (self._directed if self.lowest else {})

    @property
    def _directed(self) -> dict[Source, int]:
        return {Directed(layer): len(vectors) for layer, vectors in self.directions.items()}

    @property
    def sample(self) -> int:
        """How many images are drawn at random."""
        return int(self._told["sample"])

    @property
    def random_state(self) -> int:
        """Which ones."""
        return int(self._told["random_state"])

    @property
    def rank(self) -> str:
        """What images are ranked by: "max" or "mean"."""
        return str(self._told["rank"])

    @property
    def _told(self) -> Mapping[str, Any]:
        return {**DEFAULTS, **self.attributes}

    def images_in(self, microbatches: Iterable[int]) -> int:
        """How many images of the data set these microbatches hold."""
        return sum(min(self.batch, self.images - n * self.batch) for n in microbatches)

    def differs(self, other: Request) -> str:
        """Why parts of another run must not be mixed with parts of this one; empty if they may."""
        return next(differences(self._settings(), other._settings(), MEANT | MADE), "")

    def differs_from_store(self, store: Store) -> str:
        """Why a store is not the one that this run would write; empty if it is."""
        unsaid = {**DEFAULTS, "nan_policy": self.attributes["nan_policy"]}
        attributes = {**unsaid, **store.attributes}
        seen, failed = attributes.get("images_seen"), attributes.get("images_failed")
        images = seen + failed if isinstance(seen, int) and isinstance(failed, int) else None
        theirs = {
            **attributes,
            "images": images,
            "layers": list(store.layers),
            "directions": {
                name: str(Vectors.of(table.directions[SET].vector))
                for name, table in store.items()
                if SET in table.directions
            },
        }
        return next(differences(self._settings(), theirs, MEANT), "")

    def _settings(self) -> dict[str, Any]:
        return {
            **self._told,
            "images": self.images,
            "layers": list(self.channels),
            "directions": {name: str(vectors) for name, vectors in self.directions.items()},
        }

    def to_json(self) -> str:
        """As text, for ``of_json``."""
        return json.dumps(
            {
                "attributes": self.attributes,
                "images": self.images,
                "channels": self.channels,
                "lowest_of": self.lowest_of,
                "directions": {name: v.to_json() for name, v in self.directions.items()},
            }
        )

    @classmethod
    def of_json(cls, text: str) -> Request:
        """Read a request from the text of a file; ValueError if it is none."""
        try:
            parsed = json.loads(text)
            attributes, channels = dict(parsed["attributes"]), dict(parsed["channels"])
            batch, k = attributes["batch_shape"][0], attributes["k"]
            numbers = [parsed["images"], batch, k, *channels.values()]
            lowest_of = dict(parsed["lowest_of"])
            told = dict(parsed["directions"])
            directions = {name: Vectors.of_json(v, channels[name]) for name, v in told.items()}
            request = cls(attributes, parsed["images"], channels, lowest_of, directions)
            kept = [request.lowest, request.sample, request.random_state]
        except (ValueError, LookupError, TypeError) as error:
            raise ValueError(f"it does not say what was mined ({error!r})") from error
        if not channels or not all(type(n) is int and 0 < n <= LAST_IMAGE for n in numbers):
            raise ValueError("it does not say what was mined: counts are not positive integers")
        whole = list(channels) if request.lowest else []
        if min(kept) < 0 or request.rank not in RANKS or list(lowest_of) != whole:
            raise ValueError("it does not say what was mined: lowest, sample or rank is odd")
        return request


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[str]:
    """What differs, both values shown: "another k: k is 4 there and 3 here"."""
    for name in names:
        here, there = _comparable(name, ours.get(name)), _comparable(name, theirs.get(name))
        if here != there:
            if isinstance(here, list) and isinstance(there, list) and name == "layers":
                here, there = _apart(here, there)
            yield f"another {names[name]}: {name} is {there} there and {here} here"


def _comparable(name: str, value: Any) -> Any:
    """A value as JSON would give it; of versions, those of the packages that compute."""
    if name == "versions" and isinstance(value, str):
        value = json.loads(value)
    if name == "versions" and isinstance(value, Mapping):
        return {package: value.get(package) for package in _VERSIONS}
    return list(value) if isinstance(value, tuple) else value


def _apart(here: list[str], there: list[str]) -> tuple[list[str], list[str]]:
    """The layers that only one of two lists has; both lists where only the order differs."""
    only_here = [name for name in here if name not in there]
    only_there = [name for name in there if name not in here]
    return (only_here, only_there) if only_here or only_there else (here, there)
