"""The page of figures: one file, nothing loaded, nothing run, text that stays text."""

import base64
import io
import re

import numpy as np
import pytest
from PIL import Image

from deconvnet.figures.html_page import Entry, Spot, write_page


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


def test_a_tile_opens_its_photograph_with_the_field_drawn(tmp_path, picture):
    spots = [
        Spot((0.1, 0.2, 0.3, 0.4), "cat <1>", (10, 20, 30, 60), "relu4:7 in a <cat>"),
        Spot((0.6, 0.2, 0.3, 0.4), "cat <1>", (10, 20, 30, 60), "relu4:7 in a <cat>"),
        Spot((0.6, 0.7, 0.3, 0.2), "cat <1>", (0, 0, 9, 9), "relu4:8"),
    ]
    entry = Entry("relu4", "text", picture, ["a&b.pdf"], spots)
    photographs = {"cat <1>": Image.new("RGB", (200, 100), "red")}
    file = tmp_path / "index.html"
    write_page(file, title="t", text="", entries=[entry], photographs=photographs)
    text = file.read_text()
    assert "<cat>" not in text
    assert "cat <1>" not in text
    assert '<a href="a%26b.pdf">a&amp;b.pdf</a>' in text
    assert re.findall(r'<a href="#(\w+)"><title>', text) == ["f0s0", "f0s0", "f0s1"]
    assert '<rect x="0.1000" y="0.2000" width="0.3000" height="0.4000"/>' in text
    first = text[text.index('id="f0s0"') :]
    assert '<rect x="20.0" y="10.0" width="40.0" height="20.0"' in first[:600]
    assert 'viewBox="0 0 200 100"' in first[:200]
    assert text.count("<symbol") == 1, "a photograph is in the page once"
    with pytest.raises(KeyError):
        write_page(file, title="t", text="", entries=[entry], photographs={})


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


def test_other_pages_are_linked_and_their_texts_stay_text(tmp_path):
    links = {"atlas/index.html": "all <units>", "a b/#.html": "odd"}
    path = write_page(tmp_path / "i.html", title="demo", text="about", entries=[], links=links)
    text = path.read_text()
    assert '<a href="atlas/index.html">all &lt;units&gt;</a>' in text
    assert '<a href="a%20b/%23.html">odd</a>' in text
