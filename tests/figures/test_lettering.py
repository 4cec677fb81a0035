import pytest

from deconvnet.figures.lettering import fold, measure, printable, shorten

LABEL = "features.28:42 @ 7,7 = 13.2"


def test_measure_grows_with_the_size():
    assert measure(LABEL, 7) == pytest.approx(1.4, abs=0.2)
    assert measure(LABEL, 14) == pytest.approx(2 * measure(LABEL, 7), rel=0.02)
    assert measure(LABEL, 7, weight="bold") > measure(LABEL, 7)


@pytest.mark.parametrize("width", [0.0, 0.2, 0.5, 1.0, 1.3, 9.0])
def test_shortened_text_fits_and_keeps_its_end(width):
    short = shorten(LABEL, width, size=7)
    assert measure(short, 7) <= max(width, measure("…", 7))
    assert (short == LABEL) == (measure(LABEL, 7) <= width)
    assert LABEL.endswith(short.removeprefix("…"))


@pytest.mark.parametrize("width", [0.3, 0.5, 0.65, 0.8, 1.0, 5.0])
def test_folded_lines_fit(width):
    lines = fold(LABEL, width, size=6)
    assert all(measure(line, 6) <= width for line in lines)
    if width >= 0.65:
        assert " ".join(lines).replace(": ", ":") == LABEL


def test_numbers_stay_with_their_signs():
    for width in (0.5, 0.7, 0.9, 1.1):
        assert not any(line.endswith(("@", "=")) for line in fold(LABEL, width, size=6))


def test_long_names_break_at_dots():
    lines = fold("features.denseblock4.denselayer16.conv2:8", 1.3, size=7)
    assert lines == ["features.denseblock4.", "denselayer16.conv2:8"]


def test_text_is_one_line_of_known_characters():
    assert printable("a\n\tb  c") == "a b c"
    assert printable("猫.jpg") == "\ufffd.jpg"  # not a warning at every drawing
    assert printable("für élan µ") == "für élan µ"
    assert fold("", 1.0, size=7) == []
