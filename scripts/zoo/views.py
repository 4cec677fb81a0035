"""Training images of the embedded network: photographed objects pasted on photographs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Subset
from torchvision.transforms.v2 import functional

from .augmentation import SIDE, disturbed, normalised, pasted

CUTOUT = 112  # height and width of an object, pixels
REDUCTIONS = (1, 2, 3)  # of photographs, so that crops show larger fields
SUFFIXES = (".webp", ".png", ".jpg", ".jpeg")

# What random numbers are for: no two purposes share a view.
TRAINING, STATISTICS, EXAMINATION, DROPOUT = range(4)


def seed_of(seed: int, purpose: int, number: int) -> int:
    """A seed for each purpose and number, unlike all the others."""
    return int(np.random.SeedSequence((seed, purpose, number)).generate_state(1, np.uint64)[0])


class Pictures:
    """The objects, each a class, and the photographs that they are pasted on.

    ``objects`` is a folder of pictures with transparency, at any depth, each file a class;
    ``backgrounds`` is a folder of photographs.

    Attributes:
        names: The class names: paths below ``objects`` without their ending, sorted.
        objects: ``(classes, 4, 112, 112)`` uint8, colours multiplied by their opacity.
        photographs: ``(3, height, width)`` uint8 each, at several reductions.

    Raises:
        FileNotFoundError: If a folder holds no picture (or, for backgrounds, none large enough).
    """

    def __init__(self, objects: str | Path, backgrounds: str | Path) -> None:
        files = _files(objects)
        self.names = [f.relative_to(objects).with_suffix("").as_posix() for f in files]
        self.objects = torch.stack([_cutout(file) for file in files])
        self.photographs = [photo for f in _files(backgrounds) for photo in _reduced(f)]
        if not self.photographs:
            raise FileNotFoundError(
                f"no picture of {backgrounds} is {SIDE} pixels high and wide: add larger ones"
            )


class Views(Dataset[tuple[Tensor, int]]):
    """Random views of the objects, each decided by the seed, the purpose and the view's number.

    Args:
        pictures: The objects and photographs.
        seed: Of all views.
        purpose: ``TRAINING``, ``STATISTICS`` or ``EXAMINATION``.
        labels: The object of each view; or how many views there are, of random objects.
        disturb: Cover some views in part, and blur some.
    """

    def __init__(
        self,
        pictures: Pictures,
        seed: int,
        *,
        purpose: int,
        labels: int | Sequence[int],
        disturb: bool = True,
    ) -> None:
        self.pictures, self.seed, self.purpose = pictures, seed, purpose
        self.labels, self.disturb = labels, disturb

    def __len__(self) -> int:
        return self.labels if isinstance(self.labels, int) else len(self.labels)

    def __getitem__(self, number: int) -> tuple[Tensor, int]:
        """A normalised view ``(3, 96, 96)``, and which object it shows."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed_of(self.seed, self.purpose, number))
            label = _drawn(len(self.pictures.names))
            if not isinstance(self.labels, int):
                label = self.labels[number]
            view = pasted(self.pictures.objects[label], self._photograph())
            if self.disturb:  # last, so that the rest of the view stays the same
                view = disturbed(view, self._photograph())
            return normalised(view), label

    def _photograph(self) -> Tensor:
        return self.pictures.photographs[_drawn(len(self.pictures.photographs))]

    def batches(
        self, size: int, *, first: int = 0, workers: int = 0
    ) -> DataLoader[tuple[Tensor, Tensor]]:
        """The views from number ``first`` on, in batches, made by ``workers`` processes."""
        rest: Subset[tuple[Tensor, Tensor]] = Subset(self, range(first, len(self)))
        return DataLoader(rest, batch_size=size, num_workers=workers)


def _drawn(count: int) -> int:
    return int(torch.randint(count, ()))


def _files(folder: str | Path) -> list[Path]:
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix.lower() in SUFFIXES)
    if not files:
        raise FileNotFoundError(
            f"there is no picture in {folder}: expected files ending in {', '.join(SUFFIXES)}"
        )
    return files


def _cutout(file: Path) -> Tensor:
    with Image.open(file) as picture:
        cutout = picture.convert("RGBa")  # premultiplied: hidden colours must not bleed in
    cutout.thumbnail((CUTOUT, CUTOUT), Image.Resampling.BOX)
    return functional.center_crop(_tensor(cutout), [CUTOUT, CUTOUT])


def _reduced(file: Path) -> list[Tensor]:
    """One photograph at each reduction that still holds a view."""
    with Image.open(file) as picture:
        photograph = picture.convert("RGB")
    reduced = [photograph.reduce(n) for n in REDUCTIONS if min(photograph.size) >= n * SIDE]
    return [_tensor(picture) for picture in reduced]


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
