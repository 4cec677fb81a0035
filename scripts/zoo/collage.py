"""Training images for the embedded network: photographed objects pasted on photographs."""

from __future__ import annotations

import copy
import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

from .augmentation import blurred, occluded

CUTOUT = 112
SHRINKAGES = (1.0, 1.5, 2.1, 3.0)
ENLARGED_FIELDS = (1, 2, 3)
GREY = 0.3  # of the views: where colour tells nothing, edges and shapes must
PICTURES = (".webp", ".png", ".jpg", ".jpeg")


class Collage:
    """Endless random views of objects, each object a class.

    A view is one object at a random scale (0.45 to 1.25 of the picture), rotation (+-0.45 rad),
    shift (+-35 %), mirroring and colour, over a random crop of a random photograph; some are
    covered in part by another photograph, some are out of focus, three in ten are grey. Objects
    are held at several degrees of blur and taken from the one that suits the scale, so that a
    strongly shrunk object does not alias; one ``grid_sample`` then serves the whole batch.

    Args:
        objects: A folder of pictures with transparency, at any depth; each file is a class.
        backgrounds: A folder of photographs.
        size: Height and width of a view, in pixels.
        occluded: The share of the views with something in front of the object.
        blurred: The share of the views out of focus.

    Attributes:
        names: The class names: paths below ``objects`` without their ending, sorted.

    Raises:
        FileNotFoundError: If a folder holds no picture (or, for backgrounds, none large enough).
    """

    def __init__(
        self,
        objects: str | Path,
        backgrounds: str | Path,
        *,
        size: int = 96,
        occluded: float = 0.25,
        blurred: float = 0.25,
    ) -> None:
        files = _pictures(objects)
        self.size, self.occluded, self.blurred = size, occluded, blurred
        self.names = [f.relative_to(objects).with_suffix("").as_posix() for f in files]
        self._objects = torch.stack([_blurred(f) for f in files], dim=1)
        self._backgrounds = [b for f in _pictures(backgrounds) for b in _reduced(f, size)]
        if not self._backgrounds:
            raise FileNotFoundError(
                f"no picture of {backgrounds} is {size} pixels high and wide: add larger ones"
            )

    def undisturbed(self) -> Collage:
        """The same objects and photographs, nothing covered and nothing out of focus."""
        other = copy.copy(self)
        other.occluded = other.blurred = 0.0
        return other

    def batch(
        self, count: int, generator: torch.Generator, *, labels: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw views.

        Args:
            count: How many.
            generator: Decides everything: the same state gives the same views.
            labels: Which objects, ``(count,)``; drawn at random by default.

        Returns:
            Images ``(count, 3, size, size)`` in [0, 1] and labels ``(count,)``.
        """
        if labels is None:
            labels = torch.randint(len(self.names), (count,), generator=generator)
        scale = _uniform(count, 0.45, 1.25, generator)
        wanted = CUTOUT / (self.size * scale)
        shrinkages = torch.tensor(SHRINKAGES, dtype=torch.float32)
        level = (wanted[:, None] - shrinkages).abs().argmin(dim=1)
        cutouts = self._objects[level, labels].float()
        grid = F.affine_grid(
            _affine(scale, generator), [count, 4, self.size, self.size], align_corners=False
        )
        pasted = F.grid_sample(cutouts, grid, align_corners=False)
        colour, alpha = pasted[:, :3], pasted[:, 3:]
        behind = self._behind(count, generator) * _gain(count, generator)
        images = colour * _gain(count, generator) + behind * (1 - alpha / 255)
        # in front of a view stands what is behind its neighbour: never a part of an object
        images = occluded(images, behind.roll(1, 0), share=self.occluded, generator=generator)
        images = blurred(images, share=self.blurred, generator=generator)
        brightness = _uniform(count, 0.7, 1.3, generator)[:, None, None, None] / 255
        images = (images * brightness).clamp_(0, 1)
        grey = torch.rand(count, generator=generator, dtype=torch.float32) < GREY
        return torch.where(grey[:, None, None, None], images.mean(1, keepdim=True), images), labels

    def _behind(self, count: int, generator: torch.Generator) -> Tensor:
        draws = torch.rand(count, 4, generator=generator, dtype=torch.float32).tolist()
        crops = []
        for which, down, across, flip in draws:
            photograph = self._backgrounds[int(which * len(self._backgrounds))]
            top = int(down * (photograph.shape[1] - self.size + 1))
            left = int(across * (photograph.shape[2] - self.size + 1))
            crop = photograph[:, top : top + self.size, left : left + self.size]
            crops.append(crop.flip(2) if flip < 0.5 else crop)
        return torch.stack(crops).float()


def _affine(scale: Tensor, generator: torch.Generator) -> Tensor:
    """Where each pixel of a view looks in its cutout, ``(N, 2, 3)``, in grid_sample's units."""
    count = len(scale)
    angle = _uniform(count, -0.45, 0.45, generator)
    shift = torch.rand(count, 2, generator=generator, dtype=torch.float32)
    shift = shift * 1.4 - 0.7  # the view is 2 units wide
    mirrored = torch.rand(count, generator=generator, dtype=torch.float32) < 0.5
    side = 1 - 2 * mirrored.float()
    cos, sin = torch.cos(angle) / scale, torch.sin(angle) / scale
    turn = torch.stack([cos * side, -sin * side, sin, cos], dim=1).view(count, 2, 2)
    return torch.cat([turn, -turn @ shift[:, :, None]], dim=2)


def _uniform(count: int, low: float, high: float, generator: torch.Generator) -> Tensor:
    return low + (high - low) * torch.rand(count, generator=generator, dtype=torch.float32)


def _gain(count: int, generator: torch.Generator) -> Tensor:
    return 0.8 + 0.4 * torch.rand(count, 3, 1, 1, generator=generator, dtype=torch.float32)


def _pictures(folder: str | Path) -> list[Path]:
    files = sorted(f for f in Path(folder).rglob("*") if f.suffix.lower() in PICTURES)
    if not files:
        raise FileNotFoundError(
            f"there is no picture in {folder}: expected files ending in {', '.join(PICTURES)}"
        )
    return files


def _blurred(file: Path) -> Tensor:
    """One object, premultiplied and centred, blurred for each shrinkage: ``(levels, 4, H, W)``."""
    with Image.open(file) as picture:
        cutout = picture.convert("RGBa")  # premultiplied: blur must not draw in hidden colours
    ratio = CUTOUT / max(cutout.size)
    if ratio < 1:
        width, height = (max(1, math.floor(side * ratio)) for side in cutout.size)
        cutout = cutout.resize((width, height), Image.Resampling.BOX)
    canvas = Image.new("RGBa", (CUTOUT, CUTOUT))
    canvas.paste(cutout, ((CUTOUT - cutout.width) // 2, (CUTOUT - cutout.height) // 2))
    levels = []
    for shrinkage in SHRINKAGES:
        small = round(CUTOUT / shrinkage)
        level = canvas.resize((small, small), Image.Resampling.BOX)
        levels.append(_tensor(level.resize((CUTOUT, CUTOUT), Image.Resampling.BILINEAR)))
    return torch.stack(levels)


def _reduced(file: Path, size: int) -> list[Tensor]:
    """One photograph at each reduction that still holds a crop: ``(3, H, W)`` each."""
    with Image.open(file) as picture:
        photograph = picture.convert("RGB")
    sizes = [(photograph.width // n, photograph.height // n) for n in ENLARGED_FIELDS]
    return [_tensor(photograph.resize(wh, Image.Resampling.BOX)) for wh in sizes if min(wh) >= size]


def _tensor(picture: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).contiguous()
