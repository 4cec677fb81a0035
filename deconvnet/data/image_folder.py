"""Folders and lists of image files as data sets."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from os import PathLike
from pathlib import PurePosixPath

from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from deconvnet.arguments import brief, counted, cut, expanded

from .band_files import NPY
from .pictures import Prepares
from .samples import few_images

SUFFIXES = tuple(
    ".apng .avif .bmp .dib .gif .heic .heif .j2k .jfif .jp2 .jpe .jpeg .jpg .jpx .mpo .pbm .pgm "
    ".png .pnm .ppm .tga .tif .tiff .webp".split()
)
"""What the name of an image file in a folder ends in, in any case."""
_NAMED = 6  # kinds of files that are passed over
_NO_PIXELS = ("BUFR", "EPS", "GRIB", "HDF5", "MPEG", "WMF")  # Pillow opens them, and reads none


class ImageFolder(Dataset[Tensor]):
    """The images of a folder and all folders below it, as tensors; no labels.

    Files are told by their suffix (``.npy`` is one where images have neither 1 nor 3 bands) and
    sorted by the bytes of their relative paths, so the order is the same on every machine; names
    that start with a dot are ignored. Links are followed, but each folder is visited once. A list
    of files is taken too, in its own order.
    """

    passed_over: Mapping[str, int]
    """{suffix in lower case: how many files in the folder are not known as images by it}; "" is
    for files without a suffix. Empty for a list of files."""

    def __init__(
        self,
        folder: str | PathLike[str] | Iterable[str | PathLike[str]],
        preprocessing: Prepares,
        *,
        root: str | PathLike[str] = "",
        read: Callable[[str], Image.Image] | None = None,
        identity: str = "size",
    ) -> None:
        """Find the files; none is opened yet.

        Args:
            folder: a folder, or a list of files.
            preprocessing: makes the tensors.
            root: what the files of a list are relative to; the current folder by default.
            read: reads a file, by default ``preprocessing.read``.
            identity: what a file contributes to the fingerprint besides its path: its "size", or
                its "content", for which all of it is read.

        Raises:
            FileNotFoundError: there is no such folder, or no image in it.
            OSError: a folder below it cannot be listed.
            ValueError: another identity.
        """
        if identity not in ("size", "content"):
            raise ValueError(f"identity={identity!r} is unknown, give one of size, content")
        self.preprocessing, self._identity = preprocessing, identity
        self._read = read or preprocessing.read
        self._usual = read is None and type(self) is ImageFolder
        self._listed = not isinstance(folder, str | PathLike)
        if isinstance(folder, str | PathLike):
            self._root = expanded(folder)
            suffixes = _suffixes(preprocessing)
            self._paths, self.passed_over = _images_below(self._root, suffixes)
            others = f": {said_of(self.passed_over)}" if self.passed_over else ""
            nothing = f"there is no image in {self._root!r}{others}; known are {' '.join(suffixes)}"
        else:
            self._root, self._paths = expanded(root), [os.fspath(path) for path in folder]
            self.passed_over = {}
            nothing = "an empty list of files was given, expected at least one image"
        if not self._paths:
            raise FileNotFoundError(nothing)

    def __repr__(self) -> str:
        place = cut(repr(self._root), 200) if self._root else "a list of files"
        return brief(
            type(self).__name__,
            place,
            counted(len(self), "image"),
            cut(repr(self.preprocessing), 300),
        )

    @classmethod
    def from_list(
        cls, file: str | PathLike[str], preprocessing: Prepares, *, identity: str = "size"
    ) -> ImageFolder:
        """The images that a text file lists: one path per line, relative to its folder.

        Empty lines and lines that start with ``#`` are passed over (write ``./#1.png`` for a file
        of such a name); all else in a line is the path, and a path listed twice is two images.
        Names are the file system's own bytes, UTF-8 nearly always.

        Raises:
            FileNotFoundError: there is no such file, or it lists nothing.
            OSError: it cannot be read.
        """
        file = expanded(file)
        with open(file, "rb") as text:
            lines = text.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
        names = [os.fsdecode(line.removesuffix(b"\r")) for line in lines]
        paths = [name for name in names if name.strip() and not name.startswith("#")]
        if not paths:
            raise FileNotFoundError(f"{file!r} lists no image; write one path a line")
        return cls(paths, preprocessing, root=os.path.dirname(file), identity=identity)

    def __len__(self) -> int:
        return len(self._paths)

    def __getitem__(self, index: int) -> Tensor:
        """The tensor (channels, height, width) of one image.

        Raises:
            ImageError: the file cannot be used.
        """
        file = self._file(self._paths[index])
        return self.preprocessing.prepared(self._read(file), file)

    def _file(self, path: str) -> str:
        """Where a file is; in a list, ``~/`` is the user's home folder."""
        home = self._listed and path.startswith(f"~{os.sep}")
        return os.path.join(self._root, expanded(path) if home else path)

    def path(self, index: int) -> str:
        """The path of one image, relative to the folder; of a list, as it was given."""
        return self._paths[index]

    def fingerprint(self) -> str:
        """SHA-256 over the paths and what each file contributes, in hexadecimal.

        Of contents it starts with ``content:``, so that the two kinds cannot be confused. Where a
        reader or a subclass of the user's own makes the images, a few of them contribute too.
        """
        digest = hashlib.sha256()
        for path in self._paths:
            own = _contribution(self._file(path), self._identity)
            digest.update(os.fsencode(path) + b"\0" + own + b"\0")
        for image in () if self._usual else few_images(self):
            digest.update(image)
        return digest.hexdigest() if self._identity == "size" else f"content:{digest.hexdigest()}"


def _contribution(file: str, identity: str) -> bytes:
    """The size or the hash of a file, for the fingerprint."""
    try:
        if identity == "size":
            return str(os.stat(file).st_size).encode()
        if os.path.isfile(file):  # a pipe would wait for ever
            with open(file, "rb") as opened:
                return hashlib.file_digest(opened, "sha256").hexdigest().encode()
    except OSError:
        pass
    return b"missing"  # a dangling link is a bad image, not a reason to stop here


def said_of(passed_over: Mapping[str, int]) -> str:
    """A sentence on the files that were passed over, with the most frequent suffixes."""
    count = sum(passed_over.values())
    kinds = sorted(passed_over.items(), key=lambda kind: (-kind[1], kind[0]))
    named = [f"{number} {suffix or 'without a suffix'}" for suffix, number in kinds[:_NAMED]]
    if len(kinds) > _NAMED:
        named.append(f"{sum(number for _, number in kinds[_NAMED:])} of other kinds")
    are = "file was" if count == 1 else "files were"
    return f"{count} {are} passed over, not known as images by suffix: {', '.join(named)}"


def may_be_images(passed_over: Mapping[str, int]) -> bool:
    """Whether some of the files may be images: a format of Pillow's, or no suffix."""
    Image.init()
    kinds = Image.registered_extensions()
    return any(
        not suffix or (kinds.get(suffix) in Image.OPEN and kinds[suffix] not in _NO_PIXELS)
        for suffix in passed_over
    )


def _suffixes(preprocessing: Prepares) -> tuple[str, ...]:
    """What the names of image files end in; arrays are images where Pillow has no such images.

    In a folder of photographs an array may be anything, such as the labels.
    """
    bands = (preprocessing.shape or (3,))[0]
    return SUFFIXES if bands in (1, 3) else (*SUFFIXES, NPY)


def _images_below(root: str, suffixes: tuple[str, ...]) -> tuple[list[str], dict[str, int]]:
    """The paths of all images, and how many other files there are of each suffix."""
    if not os.path.isdir(root):
        raise FileNotFoundError(f"{root!r} is no folder; give a folder of images, or a list")
    paths: list[str] = []
    disguised: list[str] = []
    others: Counter[str] = Counter()
    for folder, files in _walk(root):
        relative = os.path.relpath(folder, root).replace(os.sep, "/")
        prefix = "" if relative == "." else f"{relative}/"
        images = [name for name in files if name.lower().endswith(suffixes)]
        paths += [prefix + name for name in images]
        others.update(os.path.splitext(name)[1].lower() for name in set(files).difference(images))
        if relative.lower().endswith(suffixes):
            disguised.append(relative)
    if disguised:  # a folder called x.jpg with nothing in it was meant to be an image: a bad one
        full = {str(parent) for path in paths for parent in PurePosixPath(path).parents}
        paths += [name for name in disguised if name not in full]
    return sorted(paths, key=os.fsencode), dict(others)


def _walk(root: str) -> Iterator[tuple[str, list[str]]]:
    """Every folder below the root once, in the order of their names, with its visible files."""

    def stop(error: OSError) -> None:
        raise error  # os.walk would pass over it, and the data set be another one

    visited = set()
    for folder, folders, files in os.walk(root, onerror=stop, followlinks=True):
        status = os.stat(folder)
        if (status.st_dev, status.st_ino) in visited:
            folders.clear()
            continue
        visited.add((status.st_dev, status.st_ino))
        folders[:] = sorted((name for name in folders if name[0] != "."), key=os.fsencode)
        yield folder, [name for name in files if name[0] != "."]
