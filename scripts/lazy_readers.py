"""Mine data sets that open their file when they are first read, and count the wrong entries.

PyTorch's own threads advise to open a file (an archive, a database) in ``__getitem__``, so that
each reader has a handle of its own. If anything reads such a data set before the readers are
forked, they share one handle, and read what another reader has sought. Here five kinds of such
data sets are mined again and again with several readers, and every entry of every table is
compared with a table that is computed from the images in memory.

Example:
  python scripts/lazy_readers.py --times 10 --readers 4
"""

from __future__ import annotations

import argparse
import io
import os
import sqlite3
import sys
import tarfile
import tempfile
import warnings
import zipfile
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

import deconvnet
from deconvnet.store.store import Store

Images = NDArray[np.float32]
SIZE = (3, 24, 24)
COUNT = 300


def the_images(count: int = COUNT, *, seed: int = 0) -> Images:
    """Images that no two of them share, (count, *SIZE) float32."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, *SIZE)).astype("<f4")


class Lazy:
    """Opens its file at first use.

    Args:
        path: the file.
        by_process: opens it again in a process that is not the one that opened it.
    """

    def __init__(self, path: str | Path, *, by_process: bool = False, count: int = COUNT) -> None:
        self.file, self.by_process, self.count = str(path), by_process, count
        self.handle: Any = None
        self.process = 0

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> torch.Tensor:
        if self.handle is None or (self.by_process and self.process != os.getpid()):
            self.handle, self.process = self.open(), os.getpid()
        content = self.read(self.handle, index)
        return torch.from_numpy(np.frombuffer(content, dtype="<f4").reshape(SIZE).copy())

    def close(self) -> None:
        """Close the handle, if there is one."""
        if self.handle is not None:
            self.handle.close()
            self.handle = None

    def __getstate__(self) -> dict[str, Any]:
        """Handles cannot be pickled."""
        return {**vars(self), "handle": None}

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        raise NotImplementedError

    def open(self) -> Any:
        """A handle of this process."""
        raise NotImplementedError

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        raise NotImplementedError

    def fingerprint(self) -> str:
        """Reads too: a few bytes of the first and the last image."""
        return "".join(str(self[i].sum().item()) for i in (0, self.count - 1))


class Raw(Lazy):
    """One file, one image after the other."""

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        path.write_bytes(images.tobytes())

    def open(self) -> Any:
        """A handle of this process."""
        return open(self.file, "rb")

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        size = 4 * int(np.prod(SIZE))
        handle.seek(index * size)
        content: bytes = handle.read(size)
        return content


class Tar(Lazy):
    """A tar archive."""

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        with tarfile.open(path, "w") as file:
            for number, image in enumerate(images):
                content = image.tobytes()
                info = tarfile.TarInfo(str(number))
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))

    def open(self) -> Any:
        """A handle of this process."""
        return tarfile.open(self.file)

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        content: bytes = handle.extractfile(str(index)).read()
        return content


class Zip(Lazy):
    """A zip archive, whose handle seeks and reads."""

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        with zipfile.ZipFile(path, "w") as file:
            for number, image in enumerate(images):
                file.writestr(str(number), image.tobytes())

    def open(self) -> Any:
        """A handle of this process."""
        return zipfile.ZipFile(self.file)

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        content: bytes = handle.read(str(index))
        return content


class Sqlite(Lazy):
    """A database."""

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        with sqlite3.connect(path) as file:
            file.execute("create table images (number integer primary key, content blob)")
            rows = [(number, image.tobytes()) for number, image in enumerate(images)]
            file.executemany("insert into images values (?, ?)", rows)
        file.close()

    def open(self) -> Any:
        """A handle of this process."""
        return sqlite3.connect(self.file)

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        query = "select content from images where number = ?"
        content: bytes = handle.execute(query, (index,)).fetchone()[0]
        return content


class Hdf5(Lazy):
    """An HDF5 file."""

    @staticmethod
    def write(path: Path, images: Images) -> None:
        """Write the images to a file."""
        with h5py.File(path, "w") as file:
            file["images"] = images

    def open(self) -> Any:
        """A handle of this process."""
        return h5py.File(self.file, "r")

    def read(self, handle: Any, index: int) -> bytes:
        """The bytes of one image."""
        content: bytes = handle["images"][index].tobytes()
        return content


KINDS: dict[str, type[Lazy]] = {"raw": Raw, "tar": Tar, "zip": Zip, "sqlite": Sqlite, "hdf5": Hdf5}


def the_model() -> nn.Sequential:
    """A small network of two layers, the same every time."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 8, 5, stride=2), nn.ReLU()).eval()


def wrong_entries(store: Store, images: Images) -> int:
    """How many entries are not those of a full sort of all activations, computed in memory.

    An entry is wrong where its image does not give its activation, or where the activation is not
    the one that belongs in its slot.
    """
    wrong = 0
    with torch.no_grad():
        z = the_model()[0](torch.from_numpy(images))
    for name, values in (("0", z), ("1", z.relu())):
        table, maxima = store[name], values.amax((2, 3)).T
        right = maxima.sort(1, descending=True).values[:, : table.k].numpy()
        given = maxima.gather(1, torch.from_numpy(table.image)).numpy()
        told = table.activation
        wrong += int(((np.abs(told - right) > 1e-4) | (np.abs(told - given) > 1e-4)).sum())
    return wrong


def main() -> int:
    """Mine each kind so many times; 1 if any entry was wrong."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--times", type=int, default=10, help="runs of each kind (%(default)s)")
    parser.add_argument("--readers", type=int, default=4, help="processes (%(default)s)")
    parser.add_argument("--images", type=int, default=3000, help="(%(default)s)")
    options = parser.parse_args()
    warnings.filterwarnings("ignore", message="This DataLoader will create")
    images, total = the_images(options.images), 0
    with tempfile.TemporaryDirectory() as folder:
        for name, kind in KINDS.items():
            path = Path(folder, name)
            kind.write(path, images)
            found = []
            for _ in range(options.times):
                data = kind(path, count=options.images)
                store = deconvnet.mine(
                    the_model(), data, f"{path}.h5", k=100, batch_size=32, workers=options.readers
                )
                found.append(wrong_entries(store, images))
            entries = sum(table.image.size for table in store.values())
            print(f"{name:8} wrong of {entries:,} entries: {' '.join(map(str, found))}")
            total += sum(found)
    return 1 if total else 0


if __name__ == "__main__":
    sys.exit(main())
