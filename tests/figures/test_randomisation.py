"""The figure of a sanity check: every map, curve, control and interval is in it."""

import numpy as np
import pytest

from deconvnet.figures.canvas.contrast import signed
from deconvnet.figures.canvas.exact_image import ExactImage
from deconvnet.figures.canvas.tiles import enlarge
from deconvnet.figures.randomisation import randomisation

DRAWN = np.random.default_rng(0)
PICTURES = DRAWN.random((2, 24, 30, 3))
MAPS = {rule: DRAWN.standard_normal((4, 2, 24, 30, 3)) for rule in ("gradient", "guided")}
STAGES = ("features.28", "features.10", "features.0")
ROWS = ("gradient", "guided", "edges", "noise", "constant")
CONTROLS = ROWS[2:]


def band(points):
    mean = DRAWN.random(points)
    return np.stack([mean, mean - 0.1, mean + 0.2])


CURVES = {name: {row: band(3) for row in ROWS} for name in ("spearman", "ssim")}
DOTS = {row: tuple(band(1)[:, 0]) for row in ROWS}
DOTS["constant"] = (np.nan,) * 3


def drawn(maps=MAPS, **options):
    return randomisation(
        PICTURES, maps, STAGES, CURVES, complexity=DOTS, logit=DOTS,
        convergence={rule: band(3) for rule in MAPS}, controls=CONTROLS, **options,
    )  # fmt: skip


def images(figure):
    return [a for a in figure.axes[0].get_children() if isinstance(a, ExactImage)]


def texts(figure):
    return [text.get_text() for text in figure.axes[0].texts]


def plots(figure):
    """The axes of plots, with the keys of the legend left out."""
    return [axes for axes in figure.axes[0].child_axes if axes.axison]


def test_every_map_is_drawn_in_its_place():
    found = images(drawn())
    assert len(found) == 2 + 2 * 2 * 4
    shown = np.asarray(found[1].get_array())
    expected = (enlarge(signed(MAPS["gradient"][0, 0])) * 255).round().astype(int)
    assert shown.shape == expected.shape
    assert np.abs(shown.astype(int) - expected).max() <= 1
    lefts = [one.get_extent()[0] for one in found[1:5]]
    assert lefts == sorted(lefts)
    assert len({one.get_extent()[3] for one in found[:5]}) == 1, "the image stands in their row"


def test_controls_are_in_every_plot_and_curves_are_what_was_given():
    figure = drawn()
    for axes, rows in zip(plots(figure), CURVES.values(), strict=False):
        lines = [np.asarray(line.get_ydata()) for line in axes.lines]
        assert len(lines) == len(ROWS)
        for line, values in zip(lines, rows.values(), strict=True):
            np.testing.assert_array_equal(line, values[0])
        spans = [part.get_paths()[0].vertices[:, 1] for part in axes.collections]
        for span, (_, low, high) in zip(spans, rows.values(), strict=True):
            assert (span.min(), span.max()) == (low.min(), high.max())
    looks = {(line.get_color(), line.get_marker()) for line in plots(figure)[0].lines}
    assert len(looks) == len(ROWS), "each can be told from the others"


def test_its_words():
    figure = drawn(title="Weights", caption="Four images")
    words = texts(figure)
    assert "0 trained" in words
    assert any("28" in one for one in words)
    assert {"Spearman, signed", "SSIM", "Convergence (|cosine|)", "Random logit (SSIM)"} <= set(
        words
    )
    assert {"control: edges", "control: noise", "control: constant"} <= set(words)
    assert "95 % confidence" in words, "what the bands are"
    assert words.count("stages drawn anew") == 2
    assert texts(drawn(together=False)).count("the stage drawn anew") == 2
    assert any(one.startswith("Four images.") for one in words)


def test_a_map_of_zeros_says_so():
    maps = {"gradient": MAPS["gradient"].copy()}
    maps["gradient"][2, 1] = 0
    figure = drawn(maps)
    assert texts(figure).count("zero") == 1
    assert len(images(figure)) == 2 + 8 - 1


@pytest.mark.parametrize("width", ["cvpr", "cvpr-full", 12])
def test_nothing_leaves_the_paper(width):
    figure = drawn(width=width)
    figure.canvas.draw()
    whole = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert box.x0 >= -1, text
        assert box.x1 <= whole.width + 1, text
    for axes in plots(figure):
        box = axes.get_tightbbox()
        assert box.x0 >= -1
        assert box.x1 <= whole.width + 1


def test_bands_other_than_colours_are_summed():
    maps = {"gradient": DRAWN.standard_normal((4, 2, 24, 30, 5))}
    shown = np.asarray(images(drawn(maps))[1].get_array()).astype(int)
    expected = enlarge(signed(maps["gradient"][0, 0].sum(-1))) * 255
    assert np.abs(shown - expected.round()).max() <= 1
