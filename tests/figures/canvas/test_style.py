import re

import matplotlib
import pytest
from matplotlib.figure import Figure

from deconvnet.figures import WIDTHS, paper, width


@pytest.mark.parametrize(
    ("given", "inches"),
    [
        ("cvpr", 3.25),
        ("CVPR-full", 6.875),
        ("neurips", 5.5),
        ("eccv", 4.8),
        (3, 3.0),
        ("4.5", 4.5),
        ("89mm", 89 / 25.4),
        ("3.5in", 3.5),
        ("8.9 cm", 89 / 25.4),
        ("252 pt", 252 / 72.27),
        ("Nature", 89 / 25.4),
    ],
)
def test_widths(given, inches):
    assert width(given) == pytest.approx(inches)


@pytest.mark.parametrize(
    ("publisher", "column", "page"),  # in mm, as their guides for authors state
    [
        ("ieee", 88.9, 181.9),
        ("acm", 84.7, 177.8),
        ("nature", 89, 183),
        ("springer", 84, 174),
        ("elsevier", 90, 190),
    ],
)
def test_widths_of_publishers(publisher, column, page):
    assert 25.4 * width(publisher) == pytest.approx(column, abs=0.2)
    assert 25.4 * width(f"{publisher}-full") == pytest.approx(page, abs=0.2)


@pytest.mark.parametrize(
    "given", ["cvpr-ful", "", "3 feet", "9mm", "nature-double", 0, -3.0, 51, float("nan"), "inf"]
)
def test_other_widths_are_refused_with_the_list(given):
    with pytest.raises(ValueError, match=re.escape(repr(given)) + ".*cvpr-full.*neurips"):
        width(given)


def test_a_full_width_is_wider_than_its_column():
    full = [name for name in WIDTHS if name.endswith("-full")]
    assert full
    assert all(WIDTHS[name] > 2 * WIDTHS[name.removesuffix("-full")] for name in full)


def test_the_settings_hold_within_and_are_gone_after():
    def settings():  # the backend aside: matplotlib chooses one at the first look
        return {key: value for key, value in matplotlib.rcParams.items() if key != "backend"}

    before = settings()
    with paper():
        assert matplotlib.rcParams["pdf.fonttype"] == matplotlib.rcParams["ps.fonttype"] == 42
        assert matplotlib.rcParams["svg.fonttype"] == "none"
        assert matplotlib.rcParams["image.interpolation"] == "none"
        assert matplotlib.rcParams["font.family"] == ["DejaVu Sans"]
    assert settings() == before


def test_the_callers_settings_do_not_reach_a_figure():
    with matplotlib.rc_context({"figure.facecolor": "black", "font.size": 30}), paper():
        assert Figure().get_facecolor() == (1.0, 1.0, 1.0, 1.0)
        assert matplotlib.rcParams["font.size"] == 7
