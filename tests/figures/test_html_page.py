"""The page of figures: one file, nothing loaded, nothing run, text that stays text."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from deconvnet.figures.html_page import Entry, write_page


@pytest.fixture
def picture(tmp_path):
    file = tmp_path / "figure.png"
    shade = np.linspace(0, 255, 40 * 60, dtype=np.uint8).reshape(40, 60)
    Image.fromarray(np.stack([shade, shade[::-1], shade.T.reshape(40, 60)], axis=2)).save(file)
    return file


def page(tmp_path, picture, text="nine patches"):
    entries = [Entry("relu4", text, picture)]
    return write_page(
        tmp_path / "out" / "index.html", title="demo", text="about", entries=entries, commands="ls"
    )


def test_one_file_with_its_pictures_inside(tmp_path, picture):
    text = page(tmp_path, picture).read_text()
    (data,) = re.findall(r'src="data:image/webp;base64,([^"]+)"', text)
    inside = np.asarray(Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB"))
    assert np.array_equal(inside, np.asarray(Image.open(picture).convert("RGB")))
    assert not re.search(r"https?:|<script|<link|url\(|@import", text)
    assert "default-src 'none'" in text


def test_text_stays_text(tmp_path, picture):
    hostile = '"><script>alert(1)</script><img src=x onerror=alert(1)>'
    text = page(tmp_path, picture, hostile).read_text()
    assert "<script" not in text
    assert text.count("<img ") == 1
    assert "&lt;script&gt;" in text


def test_the_same_content_gives_the_same_bytes(tmp_path, picture):
    once = page(tmp_path, picture).read_bytes()
    assert page(tmp_path, picture).read_bytes() == once
    assert page(tmp_path, picture, "another text").read_bytes() != once


def test_a_missing_picture_leaves_the_old_page(tmp_path, picture):
    file = page(tmp_path, picture)
    old = file.read_bytes()
    with pytest.raises(FileNotFoundError):
        page(tmp_path, tmp_path / "gone.png")
    assert file.read_bytes() == old
