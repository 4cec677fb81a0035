import io
import json
import os
import pickle
import re
import subprocess
import sys
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.image import AxesImage
from PIL import Image

from deconvnet.figures import RULE, figure2, pages, read_provenance, save, save_pages

FORMATS = ["pdf", "png", "svg", "eps", "tif", "tiff"]
WAYS = ["savefig", "pyplot", "canvas", "pickled"]
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
    def written(epoch, suffix):
        monkeypatch.setenv("SOURCE_DATE_EPOCH", epoch)
        buffer = io.BytesIO()
        Figure.savefig(figure, buffer, format=suffix)
        return buffer.getvalue()

    for suffix in ("pdf", "svg", "eps"):
        assert written("0", suffix) == written("0", suffix)
        assert written("0", suffix) != written("86400", suffix)


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("told", [TOLD, {}, {"a": "\udc80 \x00 )("}])
def test_provenance_comes_back(figure, tmp_path, suffix, told):
    path = save(figure, tmp_path / f"a.{suffix}", provenance=told)
    assert read_provenance(path) == {"contrast": RULE, **told}
    figure.provenance |= told
    figure.savefig(path)
    assert read_provenance(path) == {"contrast": RULE, **told}


def test_provenance_is_where_other_programs_look(figure, tmp_path):
    png = Image.open(io.BytesIO(save(figure, tmp_path / "a.png", provenance=TOLD).read_bytes()))
    assert png.info["Title"] == TOLD["title"]
    assert png.info["Description"].endswith("<猫>&")
    assert "; layer: features.28" in png.info["Description"]
    svg = ElementTree.fromstring(save(figure, tmp_path / "a.svg", provenance=TOLD).read_bytes())
    assert svg.findtext("{http://www.w3.org/2000/svg}title") == TOLD["title"]
    told = {"title": "plain", "model": "vgg16"}
    pdf = save(figure, tmp_path / "a.pdf", provenance=told).read_bytes()
    assert b"/Title (plain)" in pdf
    assert b"; title: plain; model: vgg16)" in pdf
    assert b"/CreationDate" not in pdf
    eps = save(figure, tmp_path / "a.eps", provenance=told).read_bytes()
    assert b"CreationDate" not in eps
    assert max(map(len, eps.partition(b"%%EndComments")[0].splitlines())) <= 255
    with Image.open(save(figure, tmp_path / "a.tif", provenance=told)) as tiff:
        assert json.loads(tiff.tag_v2[270]) == {"contrast": RULE, **told}
        assert tiff.mode == "RGB"


@pytest.mark.parametrize("suffix", FORMATS)
@pytest.mark.parametrize("content", [b"", b"%PDF-1.4 nothing", b"<svg/>", b"\x89PNG\r\n\x1a\n\0"])
def test_files_by_others_are_refused(tmp_path, suffix, content):
    path = tmp_path / f"a.{suffix}"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=re.escape(repr(str(path))) + " carries no provenance"):
        read_provenance(path)


@pytest.mark.parametrize("suffix", FORMATS)
def test_figures_by_plain_matplotlib_are_refused(figure, tmp_path, suffix):
    Figure.savefig(figure, tmp_path / f"a.{suffix}")
    with pytest.raises(ValueError, match="carries no provenance"):
        read_provenance(tmp_path / f"a.{suffix}")


def every_patch_is_in(data, figure, pictures_of_pdf):
    drawn = [np.asarray(image.get_array()) for image in figure.findobj(AxesImage)]
    kept = pictures_of_pdf(data)
    return bool(drawn) and all(
        any(np.array_equal(one, another) for another in kept) for one in drawn
    )


def as_plain_images(figure):
    """The planted wrong case: pictures as matplotlib's own imshow makes them."""
    axes = figure.axes[0]
    for image in list(axes.images):
        axes.imshow(np.asarray(image.get_array()), extent=image.get_extent(), aspect="auto")
        image.remove()


def written_by(figure, way, suffix):
    """The bytes of a figure, saved in one of the ways that a user has."""
    buffer = io.BytesIO()
    match way:
        case "savefig":
            figure.savefig(buffer, format=suffix)
        case "pyplot":
            from matplotlib import pyplot

            try:
                pyplot.figure(figure)
            except ValueError:  # before matplotlib 3.11
                pytest.skip("this pyplot takes no figures that it has not made")
            pyplot.savefig(buffer, format=suffix)
            pyplot.close(figure)
        case "canvas":
            figure.canvas.print_figure(buffer, format=suffix)
        case "pickled":
            pickle.loads(pickle.dumps(figure)).savefig(buffer, format=suffix)
    return buffer.getvalue()


@pytest.mark.parametrize("way", WAYS)
def test_a_pdf_holds_every_pixel(figure, way, pictures_of_pdf):
    data = written_by(figure, way, "pdf")
    assert every_patch_is_in(data, figure, pictures_of_pdf)
    as_plain_images(figure)
    assert not every_patch_is_in(written_by(figure, way, "pdf"), figure, pictures_of_pdf)


def fonts(data):
    """The kinds of fonts in a PDF or an EPS."""
    return set(re.findall(rb"/Subtype /(?:Type3|CIDFontType2|TrueType)|/FontType \d+", data))


TRUETYPE = {"pdf": {b"/Subtype /CIDFontType2"}, "eps": {b"/FontType 42"}}


@pytest.mark.parametrize("suffix", TRUETYPE)
@pytest.mark.parametrize("way", WAYS)
def test_fonts_are_truetype_whatever_the_way_of_saving(figure, way, suffix):
    with matplotlib.rc_context({"pdf.fonttype": 3, "ps.fonttype": 3}):
        assert fonts(written_by(figure, way, suffix)) == TRUETYPE[suffix]
        buffer = io.BytesIO()
        plain = Figure()
        plain.text(0.1, 0.1, "words")
        plain.savefig(buffer, format=suffix)
    assert fonts(buffer.getvalue()) & {b"/Subtype /Type3", b"/FontType 3"}


def test_pages_by_matplotlib_are_truetype_or_refused(figure, tmp_path):
    with PdfPages(tmp_path / "a.pdf") as pages, pytest.raises(ValueError, match="Type 3 fonts"):
        pages.savefig(figure)
    with matplotlib.rc_context({"pdf.fonttype": 42}), PdfPages(tmp_path / "b.pdf") as pages:
        pages.savefig(figure)
    assert fonts((tmp_path / "b.pdf").read_bytes()) == TRUETYPE["pdf"]


def test_savefig_takes_what_matplotlib_takes(figure, tmp_path):
    figure.savefig(tmp_path / "plain", dpi=50)
    with Image.open(tmp_path / "plain.png") as picture:
        assert picture.width == 162
    figure.savefig(tmp_path / "a.png", dpi=50, metadata={"Author": "me"}, bbox_inches="tight")
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.info["Author"] == "me"
    figure.savefig(tmp_path / "a.jpg", dpi=50)
    assert (tmp_path / "a.jpg").read_bytes().startswith(b"\xff\xd8")
    figure.savefig(tmp_path / "a.tif", dpi=50, transparent=True)
    with Image.open(tmp_path / "a.tif") as picture:
        assert picture.getpixel((160, 0)) == (255, 255, 255)


def test_a_notebook_shows_it_without_pyplot():
    code = (
        "import sys, numpy; from deconvnet.figures import filters\n"
        "png = filters(numpy.random.default_rng(0).random((4, 3, 5, 5)))._repr_png_()\n"
        "assert 'matplotlib.pyplot' not in sys.modules; sys.stdout.buffer.write(png)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
    with Image.open(io.BytesIO(done.stdout)) as picture:
        assert (picture.format, picture.width) == ("PNG", 468)


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


def test_pages_are_one_pdf_or_numbered_files(channels, tmp_path):
    made = pages(channels(5), rows=1, columns=2)
    assert save_pages(made, tmp_path / "a.pdf", provenance=TOLD) == [tmp_path / "a.pdf"]
    data = (tmp_path / "a.pdf").read_bytes()
    assert len(re.findall(rb"/Type /Page\b", data)) == 3
    assert fonts(data) == TRUETYPE["pdf"]
    assert read_provenance(tmp_path / "a.pdf") == {"contrast": RULE, **TOLD}
    assert save_pages(made, tmp_path / "b.pdf", provenance=TOLD)[0].read_bytes() == data
    files = save_pages(made, tmp_path / "a.png", provenance=TOLD, dpi=50)
    assert [file.name for file in files] == ["a-1.png", "a-2.png", "a-3.png"]
    assert all(read_provenance(file)["model"] == "vgg16" for file in files)
    (alone,) = save_pages(made[:1], tmp_path / "c.png", dpi=50)
    assert alone.name == "c.png"


@pytest.mark.parametrize("suffix", ["png", "tif"])
def test_small_pictures_are_averaged(channels, tmp_path, suffix):
    given = channels(1, height=300, width=300)
    for one in given[0]:
        one.patch[:] = 0
        one.patch[::2] = 255  # every other row: grey when averaged, black or white when dropped
    figure = figure2(given, width=2.0)

    def middle(figure):
        picture = Image.open(save(figure, tmp_path / f"a.{suffix}", dpi=60))
        return float(np.median(np.asarray(picture.convert("L"))[-55:-5, -55:-5]))

    assert abs(middle(figure) - 127) < 30
    save(figure, tmp_path / "a.pdf")  # which would leave them exact
    assert abs(middle(figure) - 127) < 30
    as_plain_images(figure)
    for image in figure.axes[0].images:
        image.set_interpolation("none")
    assert abs(middle(figure) - 127) > 100


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
def test_other_suffixes_are_refused_with_the_list(figure, tmp_path, name):
    with pytest.raises(ValueError, match=r"\.pdf, \.png, \.svg, \.eps"):
        save(figure, tmp_path / name, provenance={})
    with pytest.raises(ValueError, match=r"\.pdf, \.png, \.svg, \.eps"):
        read_provenance(tmp_path / name)
    assert os.listdir(tmp_path) == []


def test_a_provenance_that_is_not_text_is_refused(figure, tmp_path):
    with pytest.raises(TypeError, match="'k': 9 is not text"):
        save(figure, tmp_path / "a.png", provenance={"k": 9})
