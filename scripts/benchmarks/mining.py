"""What mining costs beside the forward pass, batch by batch in turns with a bare forward loop."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

from torch import Tensor, nn
from torch.utils.data import DataLoader

import deconvnet
from deconvnet import DeconvNet, Store

from . import cases
from . import mining_peers as peers
from .cases import Pictures
from .runners import forward
from .timing import ratios, settled

K = 9
SIDES = ("forward", "loader", "plain", "ours")
BATCHES = {"alexnet": (12, 64), "vgg16": (4, 16)}  # {network: (batches, images in each)}


@dataclass(frozen=True)
class Mining:
    """What was found out about mining a network.

    Args:
        network: its name.
        layers: how many were mined, all that rectify.
        units: how many channels they have.
        batches: how many.
        batch: images in each.
        seconds: {side: seconds of all batches, each round}; without what happens once.
        late: the same of the second half of the batches: tables fill fast, and then seldom.
        once: seconds of what our miner does once, each round: tracing, geometry, writing.
    """

    network: str
    layers: int
    units: int
    batches: int
    batch: int
    seconds: dict[str, list[float]]
    late: dict[str, list[float]]
    once: list[float]

    @property
    def key(self) -> str:
        """The row's name: ``alexnet,mining``."""
        return f"{self.network},mining"

    def over(self, side: str) -> list[float]:
        """Time of a side, in units of the bare forward loop's, round by round."""
        return ratios(self.seconds[side], self.seconds["forward"])

    @property
    def later(self) -> list[float]:
        """The same of our miner, for the second half of the batches."""
        return ratios(self.late["ours"], self.late["forward"])

    def each(self) -> float:
        """Milliseconds of the bare forward pass of an image."""
        return 1000 * median(self.seconds["forward"]) / (self.batches * self.batch)

    def as_json(self) -> dict[str, Any]:
        """Everything, to be written to a file."""
        return asdict(self)


class Watched(Pictures):
    """Images in memory, and when the first of them was last asked for: there feeding begins."""

    def __init__(self, count: int, *, side: int = cases.SIDE) -> None:
        super().__init__(count, side=side)
        self.begun = 0.0

    def __getitem__(self, index: int) -> Tensor:
        """One image, (3, side, side)."""
        if index == 0:
            self.begun = time.perf_counter()
        return super().__getitem__(index)


class Turns:
    """Told of each microbatch that our miner has done, runs the others on the same one.

    So each batch goes A B C D, and what comes over the machine comes over all of them.

    Args:
        others: {name: work on one batch}.
        batches: the images, stacked.
        dataset: says when feeding began.
        settle: called before each look at the clock.
    """

    def __init__(
        self,
        others: dict[str, Callable[[Tensor], object]],
        batches: Sequence[Tensor],
        dataset: Watched,
        *,
        settle: Callable[[], None],
    ) -> None:
        self.others, self.batches, self.dataset, self.settle = others, batches, dataset, settle
        self.seconds: dict[str, list[float]] = {name: [] for name in (*others, "ours")}
        self.done = 0
        self.ended = 0.0

    def report(self, done: int, total: int) -> None:
        """A microbatch is mined: what is called ``report`` in ``deconvnet.mine``."""
        self.settle()
        self.seconds["ours"].append(time.perf_counter() - (self.ended or self.dataset.begun))
        batch = self.batches[self.done]
        self.done += 1
        for name, work in self.others.items():
            begin = time.perf_counter()
            work(batch)
            self.settle()
            self.seconds[name].append(time.perf_counter() - begin)
        self.ended = time.perf_counter()


def mining(
    model: nn.Module,
    dataset: Watched,
    *,
    name: str,
    batch: int,
    rounds: int,
    device: str = "cpu",
) -> Mining:
    """Mine all rectified layers of a network beside the others.

    The first round warms up and is held against the plain script's table; it does not count.

    Args:
        model: in evaluation mode.
        dataset: images in memory; whole batches.
        name: of the network.
        batch: images at once.
        rounds: how often.
        device: where the model is.

    Raises:
        ValueError: the tables differ; or our miner did not tell of each batch.
    """
    layers = rectified(model, dataset[0])
    batches = [images.to(device) for images in dataset.images.split(batch)]
    seconds: dict[str, list[float]] = {side: [] for side in SIDES}
    late: dict[str, list[float]] = {side: [] for side in SIDES}
    once = []
    for turn in range(rounds + 1):
        plain = peers.Plain(model, layers, K)
        loader = iter(DataLoader(dataset.images, batch_size=batch))
        others = {
            "forward": lambda images: forward(model, images),
            "loader": lambda _, loader=loader: forward(model, next(loader).to(device)),
            "plain": plain.take,
        }
        turns = Turns(others, batches, dataset, settle=settled(device))
        store, whole = _mined(model, dataset, layers=layers, batch=batch, turns=turns)
        plain.remove()
        if turns.done != len(batches):
            raise ValueError(
                f"the miner told of {turns.done} microbatches, expected {len(batches)}: the "
                "time of a batch is not known; report= must be called after every one"
            )
        if not turn:
            peers.same_tables(store, plain)
            continue
        for side in SIDES:
            seconds[side].append(sum(turns.seconds[side]))
            late[side].append(sum(turns.seconds[side][len(batches) // 2 :]))
        once.append(whole - sum(map(sum, turns.seconds.values())))
    if peers.crp_version():
        seconds["zennit-crp"] = []
        for _ in range(rounds):
            labelled = peers.Labelled(dataset.images)
            told, values = peers.crp(model, labelled, layers, batch=batch)
            peers.same_values(store, values)
            seconds["zennit-crp"].append(told)
    units = sum(store[layer].channels for layer in layers)
    return Mining(name, len(layers), units, len(batches), batch, seconds, late, once)


def _mined(
    model: nn.Module, dataset: Watched, *, layers: Sequence[str], batch: int, turns: Turns
) -> tuple[Store, float]:
    """Our miner's store, and how long the call took with all turns."""
    with tempfile.TemporaryDirectory() as folder:
        begin = time.perf_counter()
        store = deconvnet.mine(
            model, dataset, Path(folder) / "top9.h5", layers, K, batch, report=turns.report,
            check=False,  # paid for once; the README tells what it costs
        )  # fmt: skip
        return store, time.perf_counter() - begin


def rectified(model: nn.Module, image: Tensor) -> list[str]:
    """Names of all layers that are rectifiers."""
    layers = DeconvNet(model, "identity", input_size=tuple(image.shape)).layers
    return [name for name, layer in layers.items() if layer.kind == "ReLU"]


def row(
    network: str, size: tuple[int, int] | None = None, *, rounds: int, device: str = "cpu"
) -> Mining:
    """Mine a network.

    Args:
        network: of ``BATCHES``.
        size: how many batches of how many images; by default as there.
        rounds: how often.
        device: "cpu" or "cuda".
    """
    count, batch = size or BATCHES[network]
    model = cases.network(network).to(device)
    dataset = Watched(count * batch)
    return mining(model, dataset, name=network, batch=batch, rounds=rounds, device=device)
