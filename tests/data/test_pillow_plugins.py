"""Formats that other packages teach Pillow: they are registered when a file needs them."""

import io
import sys
from types import ModuleType

import pytest
from PIL import Image, ImageFile

from deconvnet import Preprocessing
from deconvnet.data import ImageError, ImageFolder
from deconvnet.data.image_files import read_image

HEIC = b"\0\0\0\x18ftypheic" + bytes(12)
AVIF = b"\0\0\0\x18ftypavif" + bytes(12)


class Red(ImageFile.ImageFile):
    """Stands for a decoder: whatever the file holds, it is red."""

    def _open(self):
        self._size, self._mode, self.tile = (20, 20), "RGB", []

    def load(self):
        self.im = Image.new("RGB", self._size, (200, 10, 10)).im
        return super().load()


@pytest.fixture
def unknown(monkeypatch):
    """Pillow without HEIF and AVIF, put back as it was afterwards."""
    Image.init()
    kinds = ("HEIF", "AVIF")
    monkeypatch.setattr(Image, "ID", [name for name in Image.ID if name not in kinds])
    monkeypatch.setattr(Image, "OPEN", {k: v for k, v in Image.OPEN.items() if k not in kinds})
    for module in ("pillow_heif", "pi_heif", "pillow_avif"):
        monkeypatch.setitem(sys.modules, module, None)  # as if it were not installed


def package(monkeypatch, name, kind, *, on_import=False):
    """A package that adds a format, when it is asked to or when it is imported."""
    calls = []

    def register():
        calls.append(kind)
        Image.register_open(kind, Red, lambda start: start[4:8] == b"ftyp")

    module = ModuleType(name)
    if on_import:
        module.__getattr__ = lambda attribute: register() if not calls else None
    else:
        setattr(module, f"register_{kind.lower()}_opener", register)
    monkeypatch.setitem(sys.modules, name, module)
    return calls


@pytest.mark.parametrize(
    ("name", "kind", "content"),
    [("pillow_heif", "HEIF", HEIC), ("pi_heif", "HEIF", HEIC), ("pillow_avif", "AVIF", AVIF)],
)
def test_it_is_registered_when_a_file_needs_it(unknown, monkeypatch, tmp_path, name, kind, content):
    calls = package(monkeypatch, name, kind)
    Image.new("RGB", (20, 20)).save(tmp_path / "a.png")
    (tmp_path / "b.heic").write_bytes(content)
    data = ImageFolder(tmp_path, Preprocessing((8, 8), 8))
    assert data.picture(0).max() < 1e-6
    assert calls == []
    assert data.picture(1)[0, 0].tolist() == pytest.approx([200 / 255, 10 / 255, 10 / 255])
    assert data.picture(1).shape == (8, 8, 3)
    assert calls == [kind]
    assert read_image(io.BytesIO(content)).getpixel((0, 0)) == (200, 10, 10)


@pytest.mark.parametrize(
    ("content", "advice"),
    [(HEIC, "pip install pillow-heif"), (AVIF, "pip install pillow-avif-plugin")],
)
def test_without_it_the_package_is_named(unknown, tmp_path, content, advice):
    (tmp_path / "a.heic").write_bytes(content)
    with pytest.raises(ImageError, match=f"a.heic' cannot be used: this format needs .*{advice}"):
        read_image(tmp_path / "a.heic")


def test_a_real_package(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    image = heif.from_pillow(Image.new("RGB", (64, 64), (200, 10, 10)))
    image.save(tmp_path / "a.heic")
    assert read_image(tmp_path / "a.heic").getpixel((30, 30))[0] > 150
