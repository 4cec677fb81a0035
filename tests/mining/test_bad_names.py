"""Names of files that are not what programs expect, row by row of the matrix: 32 to 35.

They come back exactly, and nothing in them is obeyed: no markup, no format, no path.
"""

import json
import os
import re
import shutil
import subprocess
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import h5py
import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import deconvnet
from deconvnet import Preprocessing
from deconvnet.data import ImageFolder
from deconvnet.figures.html_page import Entry, write_page
from deconvnet.store.store import open_store
from tests.support.commands import said

PREPARE = Preprocessing((8, 8), 8)


HOSTILE = "<img src=x onerror=alert(1)>.png"
NAMES = {
    32: [HOSTILE, "\"'.png", "<\\script>.png"],
    33: [os.fsdecode(b"bad\xff.png"), "café.png"],
    34: [
        "a\nb.png",
        "n" * 240 + ".png",
        "%d-{0}.png",
        "-x.png",
        "a..%2f.png",
        "a b .png",
        "#1.png",
    ],
    35: ["same.png", "SAME.png", "Same.png", "\u00e9.png", "e\u0301.png"],
}


@pytest.fixture
def named(tmp_path):
    """Makes a folder of images of these names."""

    def make(names):
        place = tmp_path / "data"
        place.mkdir()
        for number, name in enumerate(names):
            pixels = np.random.default_rng(number).integers(0, 256, (8, 8, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(tmp_path / "made.png")
            (tmp_path / "made.png").rename(place / name)
        if len(os.listdir(place)) < len(names):
            pytest.skip("this file system takes some of these names for the same one")
        return place

    return make


@pytest.mark.parametrize("row", NAMES)
def test_rows_32_to_35_names_come_back_exactly(named, tmp_path, row):
    place = named(NAMES[row])
    expected = sorted(NAMES[row], key=os.fsencode)
    torch.manual_seed(0)
    deconvnet.mine(nn.Conv2d(3, 4, 3), ImageFolder(place, PREPARE), tmp_path / "a.h5")
    store = open_store(tmp_path / "a.h5")
    assert list(store.images.values()) == expected
    with h5py.File(tmp_path / "a.h5") as file:  # stored as the file system's own bytes
        assert [name.rstrip(b"\0") for name in file["images/path"][()].tolist()] == [
            os.fsencode(name) for name in expected
        ]


@pytest.mark.parametrize("row", NAMES)
def test_rows_32_to_35_as_json_and_in_a_summary(named, tmp_path, capfd, row):
    place = named(NAMES[row])
    (place / NAMES[row][0]).write_bytes(b"")  # the bad one, which is named
    arguments = ["zoo:zfnet_mini", place, "-o", tmp_path / "a.h5", "--layers", "relu1", "--json"]
    code, out, err = said(capfd, "mine", *arguments)
    assert code == 0, err
    assert json.loads(out)["images_failed"] == 1
    (line,) = [line for line in err.splitlines() if "cannot be used: it is empty" in line]
    assert repr(NAMES[row][0])[1:-1] in line  # on one line, and nothing that cannot be printed


class Tags(HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.found, self.scripts = [], []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append(tag)
        self.scripts += [name for name, _ in attributes if name.startswith("on")]


def test_row_32_names_are_inert_in_a_page(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    pages = []
    for name in ("plain", f"{HOSTILE}</script><script>alert(1)</script>\" onload='alert(1)"):
        file = tmp_path / "index.html"
        entries = [Entry(name, name, tmp_path / "a.png")]
        write_page(file, title=name, text=name, entries=entries, commands=name)
        pages.append(Tags(file.read_text()))
    assert pages[0].found == pages[1].found
    assert pages[1].scripts == []
    assert Tags(f"<p {HOSTILE}>").found + Tags(HOSTILE).scripts == ["p", "onerror"]  # it would bite


RUN = "<script>document.title='ran'</script><img src=x onerror=\"document.title='ran'\">"


def title_in_a_browser(file, profile):
    """What the title of a page is after its scripts, if any, have run."""
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("there is no chromium to open the page in")
    quiet = ["--headless", "--disable-gpu", "--disable-sync", "--disable-background-networking"]
    quiet += ["--disable-component-update", "--no-first-run", f"--user-data-dir={profile}"]
    quiet += ["--no-sandbox"] if os.geteuid() == 0 else []
    arguments = [browser, *quiet, "--virtual-time-budget=2000", "--dump-dom", file.as_uri()]
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=600)
    return re.search("<title>(.*?)</title>", done.stdout, re.DOTALL)[1]


def test_row_32_names_are_inert_in_a_browser(tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    file, plain = tmp_path / "index.html", tmp_path / "plain.html"
    entries = [Entry(RUN, RUN, tmp_path / "a.png")]
    write_page(file, title=f"cat {RUN}", text=RUN, entries=entries, commands=RUN)
    assert title_in_a_browser(file, tmp_path / "profile").startswith("cat &lt;script")
    plain.write_text(f"<title>cat</title>{RUN}")  # what it must catch
    assert title_in_a_browser(plain, tmp_path / "profile") == "ran"


@pytest.mark.parametrize("suffix", ["svg", "png", "pdf"])
def test_row_32_and_33_names_in_a_figure(named, tmp_path, capfd, suffix):
    photo = named([HOSTILE, os.fsdecode(b"bad\xff.png")])
    figure = tmp_path / f"a.{suffix}"
    arguments = ["zoo:zfnet_mini", *sorted(photo.iterdir()), "--layer", "relu1", "--channel", 3]
    code, _, err = said(capfd, "visualize", *arguments, "-o", figure)
    assert code == 0, err
    if suffix == "svg":
        tags = {e.tag.rpartition("}")[2] for e in ElementTree.parse(figure).iter()}
        assert not tags & {"img", "script"}
        assert not re.search("<img|<script", figure.read_text())
