import io
import os
import re
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.image import AxesImage
from PIL import Image

from deconvnet.figures import figure2, read_provenance, save

FORMATS = ["pdf", "png", "svg"]
TOLD = {"model": "vgg16", "layer": "features.28", "title": "VGG-16 (Ü)", "odd": 'a\\b "(ü)"\n<猫>&'}


@pytest.fixture
def figure(channels):
    return figure2(channels(2, height=60, width=60), width="cvpr", title="features.28")


@pytest.mark.parametrize("suffix", FORMATS)
def test_the_same_bytes_every_time(figure, channels, tmp_path, monkeypatch, suffix):
    first = save(figure, tmp_path / f"a.{suffix}", provenance=TOLD).read_bytes()
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "86400")
    assert save(figure, tmp_path / f"b.{suffix}", provenance=TOLD).read_bytes() == first
    again = figure2(channels(2, height=60, width=60), width="cvpr", title="features.28")
    assert save(again, tmp_path / f"c.{suffix}", provenance=TOLD).read_bytes() == first
    with matplotlib.rc_context({"font.size": 30, "savefig.bbox": "tight", "text.color": "red"}):
        assert save(figure, tmp_path / f"d.{suffix}", provenance=TOLD).read_bytes() == first
    other = save(figure, tmp_path / f"e.{suffix}", provenance={**TOLD, "layer": "features.29"})
    assert other.read_bytes() != first


def test_a_date_would_be_seen(figure, monkeypatch):
    def written(epoch):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf")
        return buffer.getvalue()

    assert written("0") == written("0")
    assert written("0") != written("86400")


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("told", [TOLD, {}, {"a": "\udc80 \x00 )("}])
def test_provenance_comes_back(figure, tmp_path, suffix, told):
    path = save(figure, tmp_path / f"a.{suffix}", provenance=told)
    assert read_provenance(path) == told


def test_provenance_is_where_other_programs_look(figure, tmp_path):
    png = Image.open(io.BytesIO(save(figure, tmp_path / "a.png", provenance=TOLD).read_bytes()))
    assert png.info["Title"] == TOLD["title"]
    assert png.info["Description"].startswith("model: vgg16; layer: features.28")
    svg = ElementTree.fromstring(save(figure, tmp_path / "a.svg", provenance=TOLD).read_bytes())
    assert svg.findtext("{http://www.w3.org/2000/svg}title") == TOLD["title"]
    told = {"title": "plain", "model": "vgg16"}
    pdf = save(figure, tmp_path / "a.pdf", provenance=told).read_bytes()
    assert b"/Title (plain)" in pdf
    assert b"/Subject (title: plain; model: vgg16)" in pdf
    assert b"/CreationDate" not in pdf


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 nothing", b"<svg/>", b"\x89PNG\r\n\x1a\n\0"])
def test_files_by_others_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(repr(str(path))) + " carries no provenance"):
        read_provenance(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_figures_by_plain_matplotlib_are_refused(figure, tmp_path, suffix):
    figure.savefig(tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match="carries no provenance"):
        read_provenance(tmp_path / f"a.{suffix}")


def every_patch_is_in(data, figure, pictures_of_pdf):
    drawn = [np.asarray(image.get_array()) for image in figure.findobj(AxesImage)]
    kept = pictures_of_pdf(data)
    return bool(drawn) and all(
        any(np.array_equal(one, another) for another in kept) for one in drawn
    )


def test_the_pdf_holds_every_pixel(figure, tmp_path, pictures_of_pdf):
    data = save(figure, tmp_path / "a.pdf", provenance={}).read_bytes()
    assert every_patch_is_in(data, figure, pictures_of_pdf)
    for image in figure.findobj(AxesImage):
        image.set_interpolation("antialiased")  # matplotlib's default
    resampled = save(figure, tmp_path / "a.pdf", provenance={}).read_bytes()
    assert len(pictures_of_pdf(resampled)) == 4
    assert not every_patch_is_in(resampled, figure, pictures_of_pdf)


def test_the_pixels_survive_plain_matplotlib_too(figure, pictures_of_pdf):
    def written():
        buffer = io.BytesIO()
        figure.savefig(buffer, format="pdf")
        return buffer.getvalue()

    assert every_patch_is_in(written(), figure, pictures_of_pdf)
    for image in figure.findobj(AxesImage):
        image.set_interpolation("nearest")
    composited = pictures_of_pdf(written())
    assert len(composited) < 4
    assert not every_patch_is_in(written(), figure, pictures_of_pdf)


def fonts(data):
    return set(re.findall(rb"/Subtype /(Type3|CIDFontType2|TrueType)", data))


def test_fonts_are_truetype(figure, tmp_path):
    data = save(figure, tmp_path / "a.pdf", provenance={}).read_bytes()
    assert fonts(data) == {b"CIDFontType2"}
    buffer = io.BytesIO()
    with matplotlib.rc_context({"pdf.fonttype": 3}):
        figure.savefig(buffer, format="pdf")
    assert b"Type3" in fonts(buffer.getvalue())


def test_text_in_an_svg_is_text(figure, tmp_path):
    root = ElementTree.parse(save(figure, tmp_path / "a.svg", provenance={})).getroot()
    texts = [text.text for text in root.iter("{http://www.w3.org/2000/svg}text")]
    assert "features.28" in texts
    assert len(list(root.iter("{http://www.w3.org/2000/svg}image"))) == 4


def test_a_png_has_the_size_asked_for(figure, tmp_path):
    image = Image.open(io.BytesIO(save(figure, tmp_path / "a.png", provenance={}).read_bytes()))
    assert image.width == 975
    assert image.info["dpi"] == pytest.approx((300, 300), abs=0.01)
    path = save(figure, tmp_path / "b.png", provenance={}, dpi=100)
    assert Image.open(io.BytesIO(path.read_bytes())).width == 325


def test_a_png_averages_and_the_figure_stays_as_it_was(channels, tmp_path):
    given = channels(1, height=300, width=300)
    for one in given[0]:
        one.patch[:] = 0
        one.patch[::2] = 255  # every other row: grey when averaged, black or white when dropped
    figure = figure2(given, width=2.0)
    path = save(figure, tmp_path / "a.png", provenance={}, dpi=60)
    right = np.asarray(Image.open(io.BytesIO(path.read_bytes())).convert("L"))[-55:-5, -55:-5]
    assert abs(float(np.median(right)) - 127) < 30
    assert {image.get_interpolation() for image in figure.findobj(AxesImage)} == {"none"}
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=60)
    dropped = np.asarray(Image.open(buffer).convert("L"))[-55:-5, -55:-5]
    assert abs(float(np.median(dropped)) - 127) > 100


def test_the_folder_is_made_and_the_path_returned(figure, tmp_path):
    path = tmp_path / "new" / "folder" / "a.PNG"
    assert save(figure, path, provenance={}) == path
    assert save(figure, str(path), provenance={}) == path
    assert os.listdir(path.parent) == ["a.PNG"]


@pytest.mark.parametrize("suffix", FORMATS)
def test_a_failure_leaves_the_old_file_and_nothing_else(figure, tmp_path, monkeypatch, suffix):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(b"old")

    def fail(*_):
        raise OSError(28, "no space left on device")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space left"):
        save(figure, path, provenance={})
    assert path.read_bytes() == b"old"
    assert os.listdir(tmp_path) == [path.name]


@pytest.mark.parametrize("name", ["a.jpg", "a", "a.pdf.gz", ".png"])
def test_other_suffixes_are_refused_with_the_three(figure, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.pdf, \.png, \.svg"):
        save(figure, tmp_path / name, provenance={})
    with pytest.raises(ValueError, match=r"\.pdf, \.png, \.svg"):
        read_provenance(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_provenance_that_is_not_text_is_refused(figure, tmp_path):
    with pytest.raises(TypeError, match="'k': 9 is not text"):
        save(figure, tmp_path / "a.png", provenance={"k": 9})
