"""The embedded data set: tiles of the photographs that come with scikit-image."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib.resources import files
from typing import NamedTuple

from PIL import Image, ImageStat
from torch import Tensor
from torch.utils.data import Dataset

from deconvnet.arguments import brief, counted
from deconvnet.data import Preprocessing

# Inside scikit-image's wheel: read from there, since ``skimage.data``'s functions may download.
FILES = {
    "astronaut": "astronaut.png",
    "chelsea": "chelsea.png",
    "coffee": "coffee.png",
    "motorcycle": "motorcycle_left.png",
    "rocket": "rocket.jpg",
    "camera": "camera.png",
    "coins": "coins.png",
    "tissue": "ihc.png",
    "page": "page.png",
    "text": "text.png",
    "brick": "brick.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
}
# Fields of stones and blades are nothing but edges: they would be the top images of most units.
SHOWN = tuple(name for name in FILES if name not in ("gravel", "grass", "text"))
SCALES = tuple(round(0.7 * 2 ** (step / 7), 2) for step in range(19))  # seven to an octave
FLAT = 8.0  # grey levels: a sky or a black margin varies less and shows nothing


class Tile(NamedTuple):
    """A square of a photograph: half-open rows and columns, in the photograph's pixels."""

    name: str
    scale: float
    top: int
    left: int
    side: int

    def __str__(self) -> str:
        rows = f"{self.top}:{self.top + self.side}"
        columns = f"{self.left}:{self.left + self.side}"
        return f"{self.name}@{self.scale:g}[{rows},{columns}]"


class Photographs(Dataset[Tensor]):
    """Tiles of photographs; those of one scale do not overlap, so that top images differ.

    They form a grid in the middle of the photograph; nearly flat ones are left out. The order is
    fixed: photograph, scale, row, column.

    Args:
        names: Which photographs, keys of ``FILES``.
        preprocessing: Makes a tensor of a tile.
        scales: The sides of the tiles, in units of ``side``.
        side: Pixels of a tile of scale 1.

    Raises:
        ValueError: If a name is unknown, a scale not positive, or no tile fits.
    """

    def __init__(
        self,
        names: Sequence[str],
        preprocessing: Preprocessing,
        *,
        scales: Sequence[float] = SCALES,
        side: int = 96,
    ) -> None:
        if not all(scale > 0 for scale in scales):
            raise ValueError(f"the scales are {tuple(scales)}: expected positive numbers")
        self.preprocessing = preprocessing
        sides = [(scale, round(side * scale)) for scale in scales]
        self.tiles = [tile for name in names for size in sides for tile in _grid(name, *size)]
        if not self.tiles:
            raise ValueError(
                f"no tile of side {side} and scales {tuple(scales)} fits in {tuple(names)}: "
                "name more photographs or smaller scales"
            )

    def __repr__(self) -> str:
        names = list(dict.fromkeys(tile.name for tile in self.tiles))
        return brief(type(self).__name__, f"{counted(len(self), 'tile')} of {', '.join(names)}")

    def __len__(self) -> int:
        return len(self.tiles)

    def __getitem__(self, index: int) -> Tensor:
        """The preprocessed tile, ``(3, H, W)``."""
        return self.preprocessing(self.tile(index))

    def tile(self, index: int) -> Image.Image:
        """The tile as it is in its photograph, before preprocessing."""
        return _cut(_photograph(self.tiles[index].name), self.tiles[index])

    def path(self, index: int) -> str:
        """Where a tile comes from: ``astronaut@2[64:256,160:352]`` is rows, then columns."""
        return str(self.tiles[index])

    def fingerprint(self) -> str:
        """SHA-256 over the tiles' names and the photographs' pixels, in hexadecimal."""
        digest = hashlib.sha256("\n".join(map(str, self.tiles)).encode())
        for name in dict.fromkeys(tile.name for tile in self.tiles):
            digest.update(_photograph(name).tobytes())
        return digest.hexdigest()


def _grid(name: str, scale: float, side: int) -> list[Tile]:
    """The tiles of one side in the middle of a photograph, without those that are nearly flat."""
    picture = _photograph(name)
    rows, columns = picture.height // side, picture.width // side
    top, left = (picture.height - rows * side) // 2, (picture.width - columns * side) // 2
    tiles = [
        Tile(name, scale, top + row * side, left + column * side, side)
        for row in range(rows)
        for column in range(columns)
    ]
    return [tile for tile in tiles if max(ImageStat.Stat(_cut(picture, tile)).stddev) >= FLAT]


def _cut(picture: Image.Image, tile: Tile) -> Image.Image:
    return picture.crop((tile.left, tile.top, tile.left + tile.side, tile.top + tile.side))


def photograph(name: str) -> Image.Image:
    """One of scikit-image's photographs, whole, in colour mode RGB.

    Args:
        name: A key of ``FILES``, such as ``"chelsea"``, a cat.

    Raises:
        ValueError: If there is no such photograph.
        FileNotFoundError: If the installed scikit-image came without its pictures.
    """
    return _photograph(name).copy()


@cache
def _photograph(name: str) -> Image.Image:
    if name not in FILES:
        raise ValueError(f"there is no photograph {name!r}: expected one of {', '.join(FILES)}")
    file = files("skimage") / "data" / FILES[name]
    if not file.is_file():
        raise FileNotFoundError(
            f"the installed scikit-image has no data/{FILES[name]}: install it from its wheel"
        )
    with file.open("rb") as stream, Image.open(stream) as picture:
        return picture.convert("RGB")
