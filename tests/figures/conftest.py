"""What the tests of the figures look into: a PDF's pictures, and a figure's layout."""

import io
import re
import struct
import zlib

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.image import AxesImage
from matplotlib.text import Text
from PIL import Image

from deconvnet.figures import paper
from tests.support.exemplars import exemplar


def _chunk(kind, content):
    checksum = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + checksum


def _pictures_of_pdf(data):
    """Every RGB picture of a PDF, ``(h, w, 3)``: their streams are those of PNG files."""
    pattern = rb"/Subtype /Image /Width (\d+) /Height (\d+)\s+/ColorSpace /DeviceRGB.*?stream\n"
    found = []
    for match in re.finditer(pattern, data, re.DOTALL):
        width, height = int(match[1]), int(match[2])
        pixels = zlib.decompressobj().decompress(data[match.end() :])
        header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
        chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(pixels)), (b"IEND", b"")]
        png = b"\x89PNG\r\n\x1a\n" + b"".join(_chunk(*one) for one in chunks)
        found.append(np.asarray(Image.open(io.BytesIO(png)))[::-1])  # PDF counts rows upwards
    return found


@pytest.fixture
def pictures_of_pdf():
    return _pictures_of_pdf


def _overlap(one, other, tolerance):
    wide = min(one.x1, other.x1) - max(one.x0, other.x0)
    high = min(one.y1, other.y1) - max(one.y0, other.y0)
    return min(wide, high) > tolerance


def _faults(figure):
    """What a printer would send back: text or pictures that overlap, or leave the paper."""
    with paper():
        return _faults_as_drawn(figure)


def _faults_as_drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    renderer = canvas.get_renderer()
    texts = [text for text in figure.findobj(Text) if text.get_text() and text.get_visible()]
    boxes = [(f"text {text.get_text()!r}", text.get_window_extent(renderer)) for text in texts]
    images = figure.findobj(AxesImage)
    boxes += [(f"image {n}", image.get_window_extent()) for n, image in enumerate(images)]
    pixel, paper = 0.01 * figure.dpi, figure.bbox
    faults = [
        f"{name} leaves the paper"
        for name, box in boxes
        if box.x0 < -pixel or box.y0 < -pixel
        or box.x1 > paper.x1 + pixel or box.y1 > paper.y1 + pixel
    ]  # fmt: skip
    for place, (name, box) in enumerate(boxes):
        faults += [
            f"{name} overlaps {other}" for other, another in boxes[place + 1 :]
            if _overlap(box, another, pixel)
        ]  # fmt: skip
    return faults


@pytest.fixture
def faults():
    return _faults


@pytest.fixture
def channels():
    """Make ``count`` channels of ``k`` exemplars of ``height`` by ``width`` pixels."""

    def make(count, *, k=9, height=20, width=20):
        random = np.random.default_rng(count)
        shape = (k, height, width, 3)
        return {
            17 * number: [
                exemplar(patch, projection, unit=f"a:{17 * number}", activation=value)
                for value, projection, patch in zip(
                    np.sort(random.random(k))[::-1],
                    random.normal(size=shape),
                    random.integers(0, 256, shape, dtype=np.uint8),
                    strict=True,
                )
            ]
            for number in range(count)
        }

    return make
