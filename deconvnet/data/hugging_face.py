"""One column of a Hugging Face data set; the package ``datasets`` is imported only when used."""

from __future__ import annotations

import hashlib
import io
import os
from os import PathLike
from typing import Any

import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset

from deconvnet.arguments import brief, counted, cut, expanded

from .image_files import ImageError
from .pictures import Prepares
from .samples import bytes_of, check_map_style, sampled


class HuggingFaceImages(Dataset[Any]):
    """The images in one column of a ``datasets.Dataset``, as tensors.

    Encoded images are read by ``read_image``, as files are. Columns of arrays are taken for
    tensors that are preprocessed already, and so is what a transform of the data set's own
    (``set_transform``) returns, unless that is a PIL image.
    """

    def __init__(
        self,
        dataset: Any,
        preprocessing: Prepares,
        *,
        column: str | None = None,
        identity: str = "size",
    ) -> None:
        """Choose the column; nothing is read yet.

        Args:
            dataset: a ``datasets.Dataset``; a ``DatasetDict`` has one for each of its splits.
            preprocessing: makes the tensors.
            column: by default the only one that holds images.
            identity: what makes the fingerprint: the "size" of the data set and a few of its
                images, or the "content" of all.

        Raises:
            TypeError: the data set is streamed (iterable-style), or several splits.
            ValueError: no such column, or none or several that hold images; another identity.
        """
        check_map_style(dataset)
        if identity not in ("size", "content"):
            raise ValueError(f"identity={identity!r} is unknown, give one of size, content")
        self.preprocessing, self._identity = preprocessing, identity
        self.column = column if column is not None else _only_image_column(dataset)
        own = (dataset.format or {}).get("type") == "custom"  # may make columns of its own
        if not own and self.column not in dataset.column_names:
            columns = _listed(dataset)
            raise ValueError(f"there is no column {self.column!r}; the columns are {columns}")
        self._rows = dataset if own else _undecoded(dataset, self.column)

    def __repr__(self) -> str:
        held = f"{counted(len(self), 'image')} in column {self.column!r}"
        return brief(type(self).__name__, held, cut(repr(self.preprocessing), 300))

    def __len__(self) -> int:
        return len(self._rows)

    def __getitem__(self, index: int) -> Any:
        """The tensor (3, height, width) float32 of one image; arrays as they are.

        Raises:
            ImageError: the image cannot be used.
        """
        value, name = self._rows[index][self.column], f"row {index} of {self.column}"
        if isinstance(value, dict):
            name = f"{name} ({value['path']})" if value.get("path") else name
            value = value["path"] if value.get("bytes") is None else value["bytes"]
        if value is None:
            raise ImageError(f"{name!r} cannot be used: it holds no image")
        if isinstance(value, bytes):
            value = self.preprocessing.read(io.BytesIO(value), name=name)
        elif isinstance(value, str):
            value = self.preprocessing.read(value, name=name)
        if isinstance(value, Image.Image):
            return self.preprocessing.prepared(value, name)
        if isinstance(value, list):
            made = torch.as_tensor(value)
            return made.float() if made.is_floating_point() else made
        is_array = type(value).__module__ == "numpy" and hasattr(value, "dtype")
        return torch.as_tensor(value) if is_array else value

    def path(self, index: int) -> str:
        """The file an image came from, where the data set knows it; else its row."""
        value = self._rows[index][self.column]
        path = value.get("path") if isinstance(value, dict) else None
        return path if isinstance(path, str) and path else str(index)

    def fingerprint(self) -> str:
        """SHA-256 over column, length and images as they are stored, in hexadecimal."""
        everything = self._identity == "content"
        digest = hashlib.sha256(f"{self.column} {len(self)}\n".encode())
        for file in getattr(self._rows, "cache_files", []):  # there are none of rows in memory
            digest.update(f"{os.path.getsize(file['filename'])}\n".encode())
        for index in range(len(self)) if everything else sampled(self):
            digest.update(b"\0" + _bytes_of(self._rows[index][self.column]))
        return f"content:{digest.hexdigest()}" if everything else digest.hexdigest()


def load_from_disk(path: str | PathLike[str]) -> Any:
    """Load a ``datasets.Dataset``, not several splits, that ``Dataset.save_to_disk`` wrote."""
    path = expanded(path)
    try:
        from datasets import load_from_disk as load
    except ImportError as error:
        raise ImportError(
            f"{path!r} is read by the package datasets, which is not installed here "
            f"({error}); run `pip install datasets`, or write the images to a folder"
        ) from error
    try:
        rows = load(path)
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path!r} holds no data set; give a folder that Dataset.save_to_disk wrote"
        ) from error
    if isinstance(rows, dict):
        splits = " or ".join(os.path.join(path, name) for name in rows)
        raise TypeError(f"{path!r} holds several data sets; choose {splits}")
    return rows


def is_hugging_face(dataset: Any) -> bool:
    """Whether this is a data set of the package ``datasets``, without importing it."""
    return hasattr(dataset, "cast_column")  # many projects have a module called ``datasets``


def _only_image_column(dataset: Any) -> str:
    features: dict[str, Any] = dataset.features or {}
    columns = [name for name, feature in features.items() if type(feature).__name__ == "Image"]
    if len(columns) != 1:
        number, choice = len(columns) or "no", _listed(dataset)
        raise ValueError(f"{number} columns hold images, expected one; choose a column: {choice}")
    return columns[0]


def _undecoded(dataset: Any, column: str) -> Any:
    """The rows, with images as encoded bytes and arrays as tensors."""
    alone = dataset.select_columns([column])
    feature = alone.features[column]
    if type(feature).__name__ == "Image":
        return alone.cast_column(column, type(feature)(decode=False)).with_format(None)
    return alone.with_format(None if type(feature).__name__ == "Value" else "torch")


def _bytes_of(value: Any) -> bytes:
    if isinstance(value, dict):
        value = value.get("bytes") or value.get("path")
    if isinstance(value, bytes):
        return value
    if isinstance(value, Tensor):
        return bytes(bytes_of(value))
    return repr(value).encode()


def _listed(dataset: Any) -> str:
    features = dataset.features or {}
    return ", ".join(f"{name} ({type(features.get(name)).__name__})" for name in features)
