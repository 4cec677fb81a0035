"""Image files that are not what they seem, made up: rows 1 to 25 of the matrix of bad input."""

from __future__ import annotations

import io
import os
import struct
import zlib
from contextlib import contextmanager

import numpy as np
from PIL import Image


def noise(height=24, width=32, channels=3):
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, channels), dtype=np.uint8)
    return pixels[..., 0] if channels == 1 else pixels


def encoded(image, kind, **options):
    file = io.BytesIO()
    image.save(file, kind, **options)
    return file.getvalue()


JPEG = encoded(Image.fromarray(noise()), "JPEG", quality=95)
PNG = encoded(Image.fromarray(noise()), "PNG")


def chunk(name, data):
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_of(width, height, *chunks):
    """A PNG that claims a size, and holds no pixels."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def broken_idat():
    at = PNG.index(b"IDAT") + 30
    return PNG[:at] + bytes(40) + PNG[at + 40 :]


def flipped(count=20):
    """A JPEG whose compressed pixels have changed, which nothing in it can tell."""
    data = bytearray(JPEG)
    for at in np.random.default_rng(5).choice(range(len(data) // 2, len(data) - 9), count, False):
        data[at] ^= 0x01
    return bytes(data)


def turned():
    """A photograph 8 wide and 4 high, red on the left; the camera was held upright."""
    exif, image = Image.Exif(), Image.new("RGB", (8, 4), "blue")
    exif[0x0112] = 6
    image.paste("red", (0, 0, 4, 4))
    return encoded(image, "PNG", exif=exif)


def palette(**options):
    """Index 0 is red, and opaque unless told otherwise; index 1 is blue."""
    image = Image.new("P", (8, 8))
    image.putpalette([255, 0, 0, 0, 0, 255])
    return encoded(image, "PNG", **options)


# (row of the matrix, file name): (what is in it, why it is refused)
BAD = {
    (1, "empty.jpg"): (b"", "it is empty"),
    (2, "page.jpg"): (b"<!doctype html><html>404</html>", "no image that Pillow knows"),
    (3, "random.png"): (np.random.default_rng(1).bytes(500), "no image that Pillow knows"),
    (4, "half.jpg"): (JPEG[: len(JPEG) // 2], "truncated"),
    (5, "no-end.jpg"): (JPEG[:-2], "truncated"),
    (6, "header.jpg"): (JPEG[:400], "[Tt]runcated"),
    (8, "half.png"): (PNG[: len(PNG) // 2], "truncated"),
    (9, "idat.png"): (broken_idat(), "broken|decompress|data stream|truncated"),
    (12, "int32.tif"): (encoded(Image.new("I", (4, 4), 70_000), "TIFF"), "32-bit integer.*8 bits"),
    (13, "float.tif"): (encoded(Image.new("F", (4, 4), 0.5), "TIFF"), "floating point.*8 bits"),
    (19, "strip.png"): (encoded(Image.new("RGB", (5000, 1)), "PNG"), "5000 .* wide and 1 high"),
    (20, "144-megapixels.png"): (png_of(12_000, 12_000), "too many pixels"),
    (21, "900-megapixels.png"): (png_of(30_000, 30_000), "too many pixels"),
    (22, "text-bomb.png"): (
        png_of(1, 1, chunk(b"zTXt", b"k\0\0" + zlib.compress(bytes(10_000_000)))),
        "[Tt]ext|[Dd]ecompressed",
    ),
    (25, "phone.heic"): (
        b"\0\0\0\x18ftypheic" + bytes(50),
        "needs the package pillow-heif|no image that",
    ),
}

GREY, RED, WHITE = (127, 127, 127), (255, 0, 0), (255, 255, 255)
_DEEP = Image.fromarray(np.full((8, 8), 127 * 257, dtype=np.uint16))
_FRAMES = {"save_all": True, "append_images": [Image.new("RGB", (8, 8), "blue")]}

# (row, file name): (what is in it, the colour that it shows)
GOOD = {
    (10, "cmyk.jpg"): (encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"), RED),
    (11, "16-bit.png"): (encoded(_DEEP, "PNG"), GREY),
    (14, "palette.png"): (palette(), RED),
    (14, "palette-and-alpha.png"): (palette(transparency=b"\0\xff"), WHITE),
    (15, "transparent.png"): (encoded(Image.new("RGBA", (8, 8), (9, 99, 9, 0)), "PNG"), WHITE),
    (16, "grey-and-alpha.png"): (encoded(Image.new("LA", (8, 8), (127, 255)), "PNG"), GREY),
    (16, "1-bit.png"): (encoded(Image.new("1", (8, 8), 1), "PNG"), WHITE),
    (16, "grey.jpg"): (encoded(Image.new("L", (8, 8), 127), "JPEG"), GREY),
    (18, "one-pixel.png"): (encoded(Image.new("RGB", (1, 1), "red"), "PNG"), RED),
    (23, "profile.png"): (
        encoded(Image.new("RGB", (8, 8), "red"), "PNG", icc_profile=b"broken"),
        RED,
    ),
    (24, "animated.gif"): (encoded(Image.new("RGB", (8, 8), "red"), "GIF", **_FRAMES), RED),
    (24, "pages.tif"): (encoded(Image.new("RGB", (8, 8), "red"), "TIFF", **_FRAMES), RED),
}


def name_of(key):
    return f"row {key[0]}, {key[1]}"


@contextmanager
def nobody():
    """For the time being, somebody whose rights are checked: the superuser may read all."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)
