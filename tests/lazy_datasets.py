"""Data sets that open their file when they are first read, as PyTorch's own threads advise.

Each has the same small images, by another reader, and each may be opened at first use in every
process (right with readers that are forked before), or keep a handle for the process it was opened
in, as ``os.getpid()`` tells (right always).
"""

from __future__ import annotations

import io
import os
import sqlite3
import tarfile
import zipfile

import h5py
import numpy as np
import torch

SIZE = (3, 24, 24)
COUNT = 300


def the_images(count=COUNT, *, seed=0):
    """Images that no two of them share, (count, *SIZE) float32."""
    generator = np.random.default_rng(seed)
    return generator.standard_normal((count, *SIZE)).astype("<f4")


class Lazy:
    """Opens its file at first use.

    Args:
        path: the file.
        by_process: opens it again in a process that is not the one that opened it.
    """

    def __init__(self, path, *, by_process=False, count=COUNT):
        self.path, self.by_process, self.count = str(path), by_process, count
        self.handle, self.process = None, None

    def __len__(self):
        return self.count

    def __getitem__(self, index):
        if self.handle is None or (self.by_process and self.process != os.getpid()):
            self.handle, self.process = self.open(), os.getpid()
        content = self.read(self.handle, index)
        return torch.from_numpy(np.frombuffer(content, dtype="<f4").reshape(SIZE).copy())

    def close(self):
        if self.handle is not None:
            self.handle.close()
            self.handle = None

    def __getstate__(self):
        """Handles cannot be pickled."""
        return {**vars(self), "handle": None}

    def fingerprint(self):
        """Reads too: a few bytes of the first and the last image."""
        return "".join(str(self[i].sum().item()) for i in (0, self.count - 1))


class Raw(Lazy):
    """One file, one image after the other."""

    @staticmethod
    def write(path, images):
        path.write_bytes(images.tobytes())

    def open(self):
        return open(self.path, "rb")

    def read(self, handle, index):
        size = 4 * int(np.prod(SIZE))
        handle.seek(index * size)
        return handle.read(size)


class Tar(Lazy):
    @staticmethod
    def write(path, images):
        with tarfile.open(path, "w") as file:
            for number, image in enumerate(images):
                content = image.tobytes()
                info = tarfile.TarInfo(str(number))
                info.size = len(content)
                file.addfile(info, io.BytesIO(content))

    def open(self):
        return tarfile.open(self.path)

    def read(self, handle, index):
        return handle.extractfile(str(index)).read()


class Zip(Lazy):
    @staticmethod
    def write(path, images):
        with zipfile.ZipFile(path, "w") as file:
            for number, image in enumerate(images):
                file.writestr(str(number), image.tobytes())

    def open(self):
        return zipfile.ZipFile(self.path)

    def read(self, handle, index):
        return handle.read(str(index))


class Sqlite(Lazy):
    @staticmethod
    def write(path, images):
        with sqlite3.connect(path) as file:
            file.execute("create table images (number integer primary key, content blob)")
            rows = [(number, image.tobytes()) for number, image in enumerate(images)]
            file.executemany("insert into images values (?, ?)", rows)
        file.close()

    def open(self):
        return sqlite3.connect(self.path)

    def read(self, handle, index):
        query = "select content from images where number = ?"
        return handle.execute(query, (index,)).fetchone()[0]


class Hdf5(Lazy):
    @staticmethod
    def write(path, images):
        with h5py.File(path, "w") as file:
            file["images"] = images

    def open(self):
        return h5py.File(self.path, "r")

    def read(self, handle, index):
        return handle["images"][index].tobytes()


KINDS = {"raw": Raw, "tar": Tar, "zip": Zip, "sqlite": Sqlite, "hdf5": Hdf5}
