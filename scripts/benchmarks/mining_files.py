"""Rows about mining from JPEG files: images a second beside a DataLoader loop, by readers."""

from __future__ import annotations

import random
import tempfile
import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

import torch
from PIL import Image
from torch import Tensor, nn
from torch.utils.benchmark import timer
from torch.utils.data import DataLoader, Dataset

import deconvnet
from deconvnet import DeconvNet, Preprocessing, Store
from deconvnet.data import ImageFolder
from deconvnet.zoo.tiles import photograph
from scripts.report import number, spread

from . import inputs, mining_peers
from .projections import forward
from .timing import Setup, ratios

READERS = (0, 1, 2)
SIZE = (500, 375)  # pixels, width and height: the most frequent in ImageNet
QUALITY = 95
NAMES = ("astronaut", "chelsea", "coffee", "motorcycle", "rocket")
FORWARD = "forward"


def _a_second(side: str) -> Callable[[dict[str, Any]], str]:
    """Images a second of a side."""
    return lambda f: number(f["batch"] * (f["batches"] - 1) / median(f["seconds"][side]))


def _times(readers: int) -> Callable[[dict[str, Any]], str]:
    """Our time in units of the DataLoader loop's with as many readers, round by round."""
    ours, loader = _sides(readers)
    return lambda f: spread(ratios(f["seconds"][ours], f["seconds"][loader]))


def _sides(readers: int) -> tuple[str, str]:
    return f"ours, {readers}", f"loader, {readers}"


@dataclass(frozen=True)
class Reading:
    """One row: all rectifiers of a network mined from JPEG files, with 0, 1 and 2 readers."""

    network: str  # torchvision's name
    batches: int
    batch: int  # images in each

    columns = {
        "network": lambda f: f["network"],
        "JPEG files": lambda f: f"{f['batches']} × {f['batch']}",
        "forward alone, images/s": _a_second(FORWARD),
        **{
            title: cell
            for n in READERS
            for title, cell in {
                f"DataLoader, {n} readers": _a_second(_sides(n)[1]),
                f"deconvnet, {n} readers": _a_second(_sides(n)[0]),
                f"time / DataLoader's, {n}": _times(n),
            }.items()
        },
        "once, s: 0 readers": lambda f: spread(f["once"][_sides(0)[0]]),
        "once, s: 2 readers": lambda f: spread(f["once"][_sides(2)[0]]),
    }

    @property
    def key(self) -> str:
        """The row's name: ``alexnet,mining,reading``."""
        return f"{self.network},mining,reading"

    def quick(self) -> Reading:
        """A smaller row, to see that it runs."""
        return replace(self, batches=3, batch=4)

    def measure(self, setup: Setup) -> dict[str, Any]:
        """Write the files, and run all sides in turns."""
        model = inputs.network(self.network).to(setup.device)
        with tempfile.TemporaryDirectory() as folder:
            write(Path(folder), self.batches * self.batch)
            return {**asdict(self), **timed(model, Path(folder), self, setup)}


def write(folder: Path, count: int) -> None:
    """Write as many JPEG files: windows of scikit-image's colour photographs, drawn by a seed."""
    drawn = random.Random(0)
    for index in range(count):
        whole = photograph(NAMES[index % len(NAMES)])
        least = min(whole.width / SIZE[0], whole.height / SIZE[1])
        width, height = (int(side * least * drawn.uniform(0.5, 1)) for side in SIZE)
        left, top = drawn.randint(0, whole.width - width), drawn.randint(0, whole.height - height)
        window = whole.crop((left, top, left + width, top + height))
        picture = window.resize(SIZE, Image.Resampling.BICUBIC)
        picture.save(folder / f"{index:05}.jpg", quality=QUALITY)


class Files(Dataset[Tensor]):
    """What a first script would write: Pillow, and the same preprocessing."""

    def __init__(self, folder: Path, preprocessing: Preprocessing) -> None:
        self.files, self.preprocessing = sorted(folder.iterdir()), preprocessing

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: int) -> Tensor:
        """One image, (channels, *size)."""
        with open(self.files[index], "rb") as file:
            return self.preprocessing(Image.open(file).convert("RGB"))


def timed(
    model: nn.Module,
    folder: Path,
    row: Reading,
    setup: Setup,
    preprocessing: Preprocessing | None = None,
) -> dict[str, Any]:
    """Run all sides in turns, once a round; a first round warms up and compares.

    A side is timed from the end of its first batch to the end of its last one: before that readers
    start, and have read ahead as far as they may.

    Returns:
        {side: seconds of each round}: "seconds" of all batches but the first; "once" of a call of
        ``mine`` without these, and without a batch of as many seconds as the others take.

    Raises:
        ValueError: the images or the strongest activations differ, or batches were not reported.
    """
    preprocessing = preprocessing or Preprocessing.imagenet()
    files = Files(folder, preprocessing)
    images = torch.stack([files[i] for i in range(len(files))])
    _same_images(images, ImageFolder(folder, preprocessing))
    net = DeconvNet(model, "identity", input_size=tuple(images.shape[1:]))
    layers = [name for name, layer in net.layers.items() if layer.kind == "ReLU"]
    batches = [some.to(setup.device) for some in images.split(row.batch)]
    seconds: dict[str, list[float]] = {FORWARD: []}
    once: dict[str, list[float]] = {}
    for turn in range(setup.rounds + 1):
        took = {FORWARD: _looped(model, batches)}
        for readers in READERS:
            ours, plain = _sides(readers)
            loader = DataLoader(files, batch_size=row.batch, num_workers=readers)
            took[plain] = _looped(model, (some.to(setup.device) for some in loader))
            began = timer()
            store, took[ours] = mined(model, folder, layers, row, preprocessing, readers)
            whole = timer() - began
            if turn == 0:
                _compare(store, model, batches, layers)
            else:
                each = took[ours] / (row.batches - 1)
                once.setdefault(ours, []).append(whole - took[ours] - each)
        if turn:
            for side, one in took.items():
                seconds.setdefault(side, []).append(one)
    return {"seconds": seconds, "once": once}


def _looped(model: nn.Module, batches: Iterable[Tensor]) -> float:
    ends = []
    for images in batches:
        forward(model, images)
        ends.append(timer())
    return ends[-1] - ends[0]


def mined(
    model: nn.Module,
    folder: Path,
    layers: Sequence[str],
    row: Reading,
    preprocessing: Preprocessing,
    readers: int,
) -> tuple[Store, float]:
    """Our store, and the seconds from the end of the first batch to that of the last."""
    ends: list[float] = []
    with tempfile.TemporaryDirectory() as out, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "This DataLoader will create")
        store = deconvnet.mine(
            model, folder, Path(out) / "top9.h5", layers, 9, row.batch, workers=readers,
            preprocessing=preprocessing, check=False,
            report=lambda done, total: ends.append(timer()),
        )  # fmt: skip
    if len(ends) != row.batches:
        raise ValueError(
            f"mining reported {len(ends)} batches, expected {row.batches}: the time of a batch is "
            "not known; report= must be called after every one"
        )
    return store, ends[-1] - ends[0]


def _same_images(images: Tensor, ours: ImageFolder) -> None:
    for index, image in enumerate(images):
        if not torch.equal(image, ours[index]):
            raise ValueError(
                f"image {index} as we read it is not as Pillow reads it: the loops would not do "
                "the same work"
            )


def _compare(
    store: Store, model: nn.Module, batches: Sequence[Tensor], layers: Sequence[str]
) -> None:
    plain = mining_peers.Plain(model, layers, 9)
    for images in batches:
        plain.take(images)
    values = {layer: table[0] for layer, table in plain.tables.items()}
    mining_peers.same_values(store, values, "a plain script")
