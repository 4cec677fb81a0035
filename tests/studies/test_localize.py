"""Localisation: a planted detector's box, the score of boxes, and its wrong conventions."""

import sys

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import Box, DeconvNet, Preprocessing, Unit, localize
from deconvnet.studies.localize import centre, max_box_acc, overlap
from tests.support.reference import projections
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH

SIZE = (40, 56)
PLAIN = Preprocessing(SIZE, None, (0.0,) * 3, (1.0,) * 3)


class Brightness(nn.Module):
    """Class 0 is as high as there is much above half, each pixel by itself; class 1 is a half."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 1, 1)
        with torch.no_grad():
            self.conv.weight.fill_(1 / 3)
            self.conv.bias.fill_(-0.5)

    def forward(self, x):
        seen = torch.relu(self.conv(x)).sum((2, 3))
        return torch.cat([seen, 0 * seen + 0.5], dim=1)


def scene(top, left, bottom, right, value=1.0):
    image = torch.full((3, *SIZE), 0.1)
    image[:, top:bottom, left:right] = value
    return image


TRUTH = [(5, 30, 25, 50), (12, 3, 34, 20)]
SCENES = torch.stack([scene(*one) for one in TRUTH])


@pytest.mark.parametrize("method", ["threshold", "grabcut"])
def test_the_box_is_that_of_the_bright_part(method):
    if method == "grabcut":
        pytest.importorskip("cv2", reason="needs the extra grabcut")
    result = localize(Brightness(), SCENES, method=method, boxes=TRUTH, preprocessing=PLAIN)
    assert list(result.targets) == [0, 0]
    for box, true, mask, value in zip(
        result.boxes, TRUTH, result.masks, result.overlaps, strict=True
    ):
        assert np.abs(np.subtract(box.edges, true)).max() <= 2
        assert mask[true[0] + 3 : true[2] - 3, true[1] + 3 : true[3] - 3].all()
        assert value > 0.75
        swapped = Box((box.left, box.top), (box.right, box.bottom))
        assert overlap(swapped, Box(true[:2], true[2:])) < 0.5  # planted wrong: x for y
        resized = Box((box.top * 2, box.left * 2), (box.bottom * 2, box.right * 2))
        assert overlap(resized, Box(true[:2], true[2:])) < 0.5  # of an image twice as large
    scores = result.max_box_acc
    assert scores["saliency"] == 1.0
    assert scores["centred"] < 0.5  # planted wrong: the box in the middle


@pytest.mark.parametrize("rule", ["gradient", "guided"])
def test_saliency_is_the_greatest_absolute_value_over_colours(rule):
    result = localize(MODEL, IMAGES, rectifier=rule, preprocessing=PREPARED, names=NAMES)
    for place, image in enumerate(IMAGES):
        target = int(MODEL(image[None]).argmax())
        assert result.targets[place] == target
        map_ = projections(MODEL, image[None], [Unit("fc2", target)], rule, seed=1.0)[0]
        expected = map_.abs().amax(0).numpy()
        np.testing.assert_allclose(result.saliency[place], expected, rtol=1e-3, atol=1e-4)
    assert result.rectifier == rule
    assert localize(DeconvNet(MODEL), IMAGES, preprocessing=PREPARED).rectifier == "deconvnet"


def test_overlap_and_max_box_acc_by_hand():
    one, other = Box((0, 0), (4, 4)), Box((2, 2), (6, 6))
    assert overlap(one, other) == pytest.approx(4 / 28)
    assert overlap(one, one) == 1.0
    assert overlap(one, Box((4, 0), (8, 4))) == 0.0
    map_ = np.zeros((10, 10))
    map_[0:2, 0:2], map_[5:9, 5:9] = 1.0, 0.6  # the best of all parts counts, not the strongest
    assert max_box_acc([map_], [Box((5, 5), (9, 9))]) == 1.0
    half = Box((5, 5), (9, 7))  # an overlap of 0.5: reached at 0.3 and 0.5, not at 0.7
    assert max_box_acc([map_], [half]) == pytest.approx(2 / 3)
    assert max_box_acc([map_, np.zeros((10, 10))], [half, Box((0, 0), (1, 1))]) < 0.5
    assert centre((5, 7)).argmax() == 2 * 7 + 3


def test_a_map_of_zeros_has_no_box():
    dark = torch.zeros(1, 3, *SIZE)
    result = localize(Brightness(), dark, target=0, boxes=TRUTH[:1], preprocessing=PLAIN)
    assert (list(result.boxes), result.overlaps) == ([None], [0.0])
    assert result.figure(width=WIDTH)
    assert result.table()[0]["box"] is None


def test_its_figure_and_table():
    result = localize(
        Brightness(), SCENES, boxes=TRUTH, preprocessing=PLAIN, classes=["a/bright_part", "none"]
    )
    figure = result.figure(width=WIDTH, caption=True)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words.count("bright part") == 2
    assert any(text.startswith("Saliency by gradient, mask by threshold") for text in words)
    row = result.table()[1]
    assert (row["class"], row["image"]) == ("bright part", "image 1")
    assert row["overlap"] == result.overlaps[1]


BAD = {
    "one box": (dict(boxes=TRUTH[:1]), "true boxes of images: 1 given, expected 2"),
    "outside": (dict(boxes=[TRUTH[0], (0, 0, 41, 3)]), r"box \(0, 0, 41, 3\) was given, expected"),
    "x before y": (dict(boxes=[TRUTH[0], (3, 12, 20, 60)]), "inside the preprocessed image"),
    "empty": (dict(boxes=[TRUTH[0], (4, 4, 4, 9)]), r"box \(4, 4, 4, 9\)"),
    "method": (dict(method="cam"), "expected one of threshold, grabcut"),
    "threshold": (dict(threshold=1.0), "a threshold between 0 and 1"),
}


@pytest.mark.parametrize(("options", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_told_before_any_work(options, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.localize.values", None)
    with pytest.raises(ValueError, match=told):
        localize(Brightness(), SCENES, preprocessing=PLAIN, **options)


def test_no_true_boxes_no_score_and_no_such_class():
    result = localize(Brightness(), SCENES, preprocessing=PLAIN)
    assert result.overlaps == []
    with pytest.raises(ValueError, match="true boxes of images: 0 given, expected 2"):
        _ = result.max_box_acc
    with pytest.raises(IndexError, match="target=2 was given"):
        localize(Brightness(), SCENES, target=2, preprocessing=PLAIN)


def test_without_opencv_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "cv2", None)
    with pytest.raises(ImportError, match=r"pip install .deconvnet\[grabcut\]"):
        localize(Brightness(), SCENES, method="grabcut", preprocessing=PLAIN)
