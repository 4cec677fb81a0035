import numpy as np
import pytest

from deconvnet.figures import ImageRow, save, visualization
from deconvnet.figures.canvas import lettering
from deconvnet.figures.canvas.lettering import digits, families, fold, measure, printable
from deconvnet.units import Box, Exemplar, Unit

LABEL = "features.28:42@7,7 = 13.2"


def test_measure_grows_with_the_size():
    assert measure(LABEL, 7) == pytest.approx(1.4, abs=0.2)
    assert measure(LABEL, 14) == pytest.approx(2 * measure(LABEL, 7), rel=0.02)
    assert measure(LABEL, 7, weight="bold") > measure(LABEL, 7)


@pytest.mark.parametrize("width", [0.3, 0.5, 0.65, 0.8, 1.0, 5.0])
def test_folded_lines_fit(width):
    lines = fold(LABEL, width, size=6)
    assert all(measure(line, 6) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == LABEL.replace(" ", "")
    if width >= 0.65:
        assert " ".join(lines).replace(": ", ":").replace(" @", "@") == LABEL


def test_a_unit_breaks_before_its_position():
    assert fold("features.28:42@7,7 = 13.2", 0.9, size=7) == ["features.28:42", "@7,7 = 13.2"]


def test_numbers_have_one_rule_and_a_minus():
    shown = [digits(value) for value in (5, -0.018, 123.4, 1234.5, 2e-5, 0)]
    assert shown == ["5.00", "−0.0180", "123", "1234", "2.00e−05", "0"]
    assert digits(0.5, sign=True) == "+0.500"


def test_numbers_stay_with_their_signs():
    for width in (0.5, 0.7, 0.9, 1.1):
        assert not any(line.endswith(("@", "=")) for line in fold(LABEL, width, size=6))


def test_long_names_break_at_dots():
    lines = fold("features.denseblock4.denselayer16.conv2:8", 1.3, size=7)
    assert lines == ["features.denseblock4.", "denselayer16.conv2:8"]


def test_text_is_one_line_of_known_characters():
    assert printable("a\n\tb  c") == "a b c"
    assert printable("für élan µ") == "für élan µ"
    assert fold("", 1.0, size=7) == []


# --- letters that the font lacks ------------------------------------------------------------------

CIRCLED = "\u24b6"  # a circled A: in STIX, which comes with matplotlib, not in DejaVu
NAMES = (
    "猫の写真.jpg",
    "고양이.png",
    "แมว.jpg",
    "बिल्ली.png",
    "😺🦓.jpg",
    "\ud800.jpg",
    "\u202egpj.exe",
)


@pytest.fixture
def only(monkeypatch):
    """As if no other fonts were installed than those that come with matplotlib."""

    def fonts(*names):
        kept = [font for font in lettering.fontManager.ttflist if font.name in names]
        monkeypatch.setattr(lettering.fontManager, "ttflist", kept)
        lettering._cover.cache_clear()

    yield fonts
    lettering._cover.cache_clear()


def test_a_letter_of_no_font_is_a_code(only):
    only("DejaVu Sans", "Last Resort High-Efficiency", "cmsy10", "cmr10")
    assert printable("猫.jpg") == "\\u732b.jpg"
    assert printable("😺🦓") == "😺\\U0001f993", "DejaVu has a cat, and no zebra"
    assert printable(CIRCLED) == "\\u24b6"
    assert families("a猫") == ["DejaVu Sans"]
    for name in NAMES:
        text = printable(name)
        assert "\ufffd" not in text
        assert printable(text) == text


def test_a_letter_of_another_font_is_drawn_with_it(only):
    only("DejaVu Sans", "STIXGeneral", "STIXNonUnicode")
    assert printable(f"{CIRCLED}猫.jpg") == f"{CIRCLED}\\u732b.jpg"
    assert families(f"a{CIRCLED}") == ["DejaVu Sans", "STIXGeneral"]
    assert families("abc") == ["DejaVu Sans"]
    assert 0 < measure(CIRCLED * 10, 7) < 2


def test_right_to_left_is_set_well_or_not_at_all(monkeypatch, only):
    only("DejaVu Sans")
    monkeypatch.setattr(lettering, "_JOINED", False)
    assert printable("قط.jpg") == "\\u0642\\u0637.jpg"
    monkeypatch.setattr(lettering, "_JOINED", True)
    assert printable("قط.jpg") == "قط.jpg"


@pytest.mark.parametrize("suffix", [".pdf", ".png", ".svg"])
@pytest.mark.parametrize("name", [*NAMES, "قط.jpg", f"{CIRCLED}.jpg"])
def test_names_in_any_script_are_drawn_without_a_word(tmp_path, suffix, name):
    """Warnings are errors here, and matplotlib warns of every glyph that is missing."""
    picture = np.zeros((20, 20, 3))
    crop = picture[2:8, 2:8]
    one = Exemplar(Unit(name, 0), 1.0, Box((2, 2), (8, 8)), (0, 0), crop, crop)
    row = ImageRow(picture, [one], name)
    figure = visualization([row], width="cvpr", title=name, caption=name)
    save(figure, tmp_path / f"a{suffix}", provenance={})
    assert (tmp_path / f"a{suffix}").stat().st_size > 500
