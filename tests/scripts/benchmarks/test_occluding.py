"""The rows about occlusion: compared with captum's convention, written out slowly, then timed."""

from dataclasses import replace

import pytest
import torch

from scripts.benchmarks import inputs, occluding
from scripts.benchmarks.occluding import Occluded
from scripts.benchmarks.rows import ROWS
from scripts.benchmarks.timing import Setup

ROW = Occluded("tiny", side=5, stride=3, positions=4)  # over 14 of 20 pixels


def mean_losses(row, model, image, target):
    """For each pixel the mean loss of score over the squares that cover it."""
    whole, side = model(image)[0, target], row.side
    summed, counted = torch.zeros(2, *image.shape[2:])
    for top in range(0, image.shape[2] - side + 1, row.stride):
        for left in range(0, image.shape[3] - side + 1, row.stride):
            hidden = image.clone()
            hidden[..., top : top + side, left : left + side] = 0
            summed[top : top + side, left : left + side] += whole - model(hidden)[0, target]
            counted[top : top + side, left : left + side] += 1
    return summed / counted


def summed_losses(row, model, image, target):
    return mean_losses(row, model, image, target) * 4


def last_square_left_out(row, model, image, target):
    made = mean_losses(row, model, image[..., :-1, :], target)
    return torch.cat([made, made[-1:]])


@pytest.fixture
def peer(tiny, monkeypatch):
    """Puts a function in the place of captum."""
    return lambda function: monkeypatch.setattr(Occluded, "captum", function)


def test_a_row_is_compared_and_timed_by_the_processor(peer):
    peer(mean_losses)
    figures = ROW.measure(Setup(rounds=2))
    assert figures["error"] < occluding.TOLERANCE
    assert {side: len(seconds) for side, seconds in figures["seconds"].items()} == {
        "ours": 2,
        "captum": 2,
    }
    assert all(cell(figures) for cell in ROW.columns.values())


@pytest.mark.parametrize("wrong", [summed_losses, last_square_left_out])
def test_a_difference_is_caught(peer, wrong):
    peer(wrong)
    with pytest.raises(ValueError, match="tiny,occlusion: the maps differ by"):
        ROW.measure(Setup(rounds=1))


def test_the_squares_stay_inside_the_image(tiny):
    rows = [row for row in ROWS if isinstance(row, Occluded)]
    assert [row.network for row in rows] == ["alexnet", "vgg16", "resnet50"]
    for row in [*rows, *(row.quick() for row in rows)]:
        assert inputs.SIDE - row.stride < row.extent <= inputs.SIDE
    with pytest.raises(ValueError, match="the squares reach over 232 of 224 pixels"):
        replace(rows[0], positions=18).measure(Setup())


def test_captum_has_that_convention(tiny):
    captum = pytest.importorskip("captum", reason="captum is of the extra bench")
    assert captum.__version__
    image = inputs.pictures(1)[..., : ROW.extent, : ROW.extent]
    expected = mean_losses(ROW, tiny, image, 2)
    torch.testing.assert_close(ROW.captum(tiny, image, 2), expected, rtol=1e-4, atol=1e-6)
