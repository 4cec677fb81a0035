"""What is asked of a mining run, and whether work that was found on a disk answers it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from deconvnet.mining.topk.keys import LAST_IMAGE

MEANT = {
    "model_fingerprint": "model",
    "dataset_fingerprint": "data set",
    "transform": "preprocessing",
    "images": "number of images",
    "k": "k",
    "layers": "choice of layers",
    "batch_shape": "batch shape",
    "dtype": "precision",
    "nan_policy": "treatment of NaN",
}
"""What a table depends on, so that work on another must not be mixed into it or taken for it."""
MADE = {
    "device": "kind of device",
    "threads": "number of threads",
    "layout": "memory layout",
    "versions": "version of a package",
}
"""What its last bits depend on besides: parts of one table must share it."""
_VERSIONS = ("deconvnet", "torch")  # the others do not compute


@dataclass(frozen=True)
class Request:
    """A run by all that its table depends on.

    Args:
        attributes: what the store will say of itself.
        images: how many the data set has.
        channels: {layer: channels}, in the order of the network.
    """

    attributes: Mapping[str, Any]
    images: int
    channels: Mapping[str, int]

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

    def claims(self) -> dict[str, Any]:
        """All that two runs must have in common to be parts of one table."""
        return {**self.attributes, "images": self.images, "layers": list(self.channels)}

    def to_json(self) -> str:
        """As text, for ``of_json``."""
        return json.dumps(
            {"attributes": self.attributes, "images": self.images, "channels": self.channels}
        )


def of_json(text: str) -> Request:
    """A request from the text of a file.

    Raises:
        ValueError: it is none.
    """
    try:
        found = json.loads(text)
        attributes, channels = dict(found["attributes"]), dict(found["channels"])
        batch, k = attributes["batch_shape"][0], attributes["k"]
        numbers = [found["images"], batch, k, *channels.values()]
    except (ValueError, LookupError, TypeError) as error:
        raise ValueError(f"it does not say what was mined ({error!r})") from error
    if not channels or not all(type(n) is int and 0 < n <= LAST_IMAGE for n in numbers):
        raise ValueError("it does not say what was mined: counts are not positive integers")
    return Request(attributes, found["images"], channels)


def differences(
    ours: Mapping[str, Any], theirs: Mapping[str, Any], names: Mapping[str, str]
) -> Iterator[str]:
    """What differs, in words, both sides shown: "model_fingerprint is 01… there and 02… here"."""
    for name in names:
        here, there = _comparable(name, ours.get(name)), _comparable(name, theirs.get(name))
        if here != there:
            if isinstance(here, list) and isinstance(there, list) and name == "layers":
                here, there = _apart(here, there)
            yield f"another {names[name]}: {name} is {there} there and {here} here"


def _comparable(name: str, value: Any) -> Any:
    """A value as JSON would give it; of versions, those of what computes."""
    if name == "versions" and isinstance(value, str):
        value = json.loads(value)
    if name == "versions" and isinstance(value, Mapping):
        return {package: value.get(package) for package in _VERSIONS}
    return list(value) if isinstance(value, tuple) else value


def _apart(here: list[str], there: list[str]) -> tuple[list[str], list[str]]:
    """Only the layers that one of two lists has; the lists where it is but the order."""
    only_here = [name for name in here if name not in there]
    only_there = [name for name in there if name not in here]
    return (only_here, only_there) if only_here or only_there else (here, there)
