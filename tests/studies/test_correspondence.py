"""Correspondence: equal and opposite changes, the formula of independent signs, and bad masks."""

import numpy as np
import pytest
import torch

from deconvnet import correspondence
from deconvnet.studies.correspondence import changes, consistency
from tests.support.mined import SIZE
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH


def random():
    return np.random.default_rng(0)


def test_equal_signs_give_0_and_opposite_ones_1():
    signs = np.sign(random().normal(size=(1, 500))).astype(np.int8)
    equal = consistency(np.repeat(signs, 3, axis=0), random())
    assert (equal.delta, equal.std, equal.zeros) == (0.0, 0.0, 0.0)
    assert consistency(np.concatenate([signs, -signs]), random()).delta == 1.0


@pytest.mark.parametrize("zeros", [0.0, 0.3, 0.944])
def test_independent_signs_follow_the_formula_and_so_does_the_null(zeros):
    """H = 1 - p₀² - (1 - p₀)² / 2, which is 0.107 for the share 0.944 of Zeiler & Fergus."""
    shares = [(1 - zeros) / 2, zeros, (1 - zeros) / 2]
    signs = random().choice([-1, 0, 1], size=(5, 60_000), p=shares).astype(np.int8)
    one = consistency(signs, random())
    expected = 1 - zeros**2 - (1 - zeros) ** 2 / 2
    assert one.delta == pytest.approx(expected, abs=3e-3)
    assert one.null == pytest.approx(expected, abs=3e-3)
    assert one.zeros == pytest.approx(zeros, abs=3e-3)
    if zeros == 0.944:
        assert expected == pytest.approx(0.107, abs=5e-4)
        both = [(a != 0) & (b != 0) for a in signs[:1] for b in signs[1:2]][0]
        dropped = (signs[0] != signs[1])[both].mean()  # planted: without the zeros it is a half
        assert abs(dropped - one.delta) > 0.2


def test_it_is_a_mean_over_pairs():
    signs = np.array([[1, 1, 0, -1], [1, 0, 0, -1], [-1, 1, 1, 1]], dtype=np.int8)
    pairs = [0.25, 0.75, 1.0]
    one = consistency(signs, random())
    assert one.delta == pytest.approx(np.mean(pairs))
    assert one.std == pytest.approx(np.std(pairs))
    assert one.delta != pytest.approx(2 * sum(pairs))  # planted: the double sum, not averaged


def test_one_pair_has_no_deviation():
    signs = np.array([[1, 1, 0, -1], [1, 0, 0, -1]], dtype=np.int8)
    one = consistency(signs, random())
    assert one.delta == 0.25
    assert np.isnan(one.std)  # planted: 0 would say that pairs agree


def test_rounding_is_no_change():
    before = torch.tensor([[100.0, 1.0, 0.0, 5.0]])
    after = torch.tensor([[100.00001, 1.00005, -0.1, 5.0]])
    assert changes(before, after).tolist() == [[0, 0, 1, 0]]


def squares(*places):
    masks = np.zeros((3, *SIZE), dtype=bool)
    for mask, (top, left) in zip(masks, places, strict=True):
        mask[top : top + 4, left : left + 3] = True
    return masks


PARTS = {"eye": squares((2, 3), (4, 3), (6, 8)), "nose": squares((9, 5), (9, 6), (8, 6))}


def test_it_is_what_plain_passes_give():
    result = correspondence(
        MODEL, IMAGES, PARTS, layers=["relu3", "fc1"], preprocessing=PREPARED, names=NAMES
    )
    assert (list(result.parts), list(result.layers)) == (
        ["eye", "nose", "random"],
        ["relu3", "fc1"],
    )
    grey = ((0.5 - torch.tensor(PREPARED.mean)) / torch.tensor(PREPARED.std))[:, None, None]
    for part, masks in PARTS.items():
        hidden = torch.where(torch.from_numpy(masks)[:, None], grey, IMAGES)
        np.testing.assert_array_equal(result.masked[part][1], PREPARED.picture(hidden[1]))
        for layer in result.layers:
            with torch.no_grad():
                away = MODEL.values(IMAGES)[layer] - MODEL.values(hidden)[layer]
            signs = torch.where(away.abs() < 1e-4, 0, away.sign()).flatten(1)
            pairs = [
                float((signs[a] != signs[b]).double().mean()) for a, b in ((0, 1), (0, 2), (1, 2))
            ]
            one = result.measured[part][layer]
            assert one.delta == pytest.approx(np.mean(pairs), abs=1e-9)
            assert one.zeros == pytest.approx(float((signs == 0).double().mean()), abs=1e-9)
    assert [row["part"] for row in result.table()] == [
        "eye",
        "eye",
        "nose",
        "nose",
        "random",
        "random",
    ]
    for picture, plain in zip(result.masked["random"], result.pictures, strict=True):
        changed = (picture != plain).any(-1)
        assert 0 < changed.sum() <= 12


def test_the_same_image_and_mask_give_0():
    same = IMAGES[:1].repeat(3, 1, 1, 1)
    masks = {"eye": squares((4, 4), (4, 4), (4, 4))}
    result = correspondence(MODEL, same, masks, preprocessing=PREPARED)
    assert result.measured["eye"]["relu3"].delta == 0.0
    assert result.measured["random"]["relu3"].delta > 0.0


def test_its_figure():
    result = correspondence(MODEL, IMAGES, PARTS, preprocessing=PREPARED, names=NAMES)
    figure = result.figure(width=WIDTH, caption=True)
    assert len(figure.axes[0].images) == 12
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    for one in ("eye", "nose", "random", "Δ =", "null", "2.jpg"):
        assert one in words
    words = " ".join(text.get_text() for text in result.figure().axes[0].texts)
    for one in ("Δ:", "null:", "p₀:"):  # without a caption, too, each sign has its key, once
        assert words.count(one) == 1


BAD = {
    "another size": ({"eye": np.ones((3, 9, 9), bool)}, r"of shape \(3, 9, 9\), expected bool of"),
    "another number": ({"eye": PARTS["eye"][:2]}, "expected bool of"),
    "no bool": ({"eye": PARTS["eye"].astype(float)}, "are float64 of shape"),
    "nothing hidden": ({"eye": PARTS["eye"] * np.array([1, 0, 1])[:, None, None] > 0}, r"\[1\]"),
    "no parts": ({}, "expected {part: masks}"),
    "its name": ({"random": PARTS["eye"]}, "none called random"),
}


@pytest.mark.parametrize(("masks", "told"), BAD.values(), ids=BAD)
def test_bad_masks_are_told_before_any_work(masks, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.correspondence.values", None)
    with pytest.raises(ValueError, match=told):
        correspondence(MODEL, IMAGES, masks, preprocessing=PREPARED)


def test_one_image_is_refused():
    with pytest.raises(ValueError, match="1 image given; changes are compared"):
        correspondence(MODEL, IMAGES[:1], {"eye": PARTS["eye"][:1]}, preprocessing=PREPARED)
