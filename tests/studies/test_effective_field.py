"""Effective fields: the n-fold convolution of a box, exactly, and the mean over images."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import effective_field
from tests.support.networks import noise
from tests.support.studied import IMAGES, MODEL, WIDTH


def stack(layers, kernel, *, pad=True):
    """Linear layers of equal weights."""
    made = [
        nn.Conv2d(1, 1, kernel, padding=kernel // 2 if pad else 0, bias=False)
        for _ in range(layers)
    ]
    for one in made:
        nn.init.constant_(one.weight, 0.125)
    return nn.Sequential(*made).double()


def folded(layers, kernel):
    """The box of a kernel convolved with itself so many times, along one axis."""
    line = np.ones(1)
    for _ in range(layers):
        line = np.convolve(line, np.full(kernel, 1.0))
    return line


@pytest.mark.parametrize(("layers", "kernel"), [(1, 3), (4, 3), (10, 3), (3, 5)])
def test_of_linear_layers_it_is_the_n_fold_convolution_of_a_box(layers, kernel):
    result = effective_field(stack(layers, kernel), noise(2, 1, 41, 37), layer=str(layers - 1))
    line = folded(layers, kernel)
    expected = np.outer(line, line) * 0.125**layers
    np.testing.assert_allclose(result.gradient, expected, rtol=1e-10)
    side = layers * (kernel - 1) + 1
    assert result.box.size == (side, side)
    assert result.position == (20, 18)
    assert result.box.start == (20 - side // 2, 18 - side // 2)
    above = expected > 0.0455 * expected.max()
    assert result.share == pytest.approx(above.mean())
    assert result.side == pytest.approx(np.sqrt(above.sum()))


def test_the_share_falls_with_depth_and_another_box_would_be_caught():
    shares = [
        effective_field(stack(n, 3), noise(1, 1, 81, 81), layer=str(n - 1)).share
        for n in (2, 8, 30)
    ]
    assert shares[0] > shares[1] > shares[2]
    line = folded(9, 3)  # planted wrong: one layer too many
    actual = effective_field(stack(8, 3), noise(1, 1, 81, 81), layer="7").gradient
    assert actual.shape != np.outer(line, line).shape


def test_it_is_the_mean_of_absolute_gradients_by_autograd():
    result = effective_field(MODEL, IMAGES, layer="relu3", channels=[1, 2, 4])
    summed, signed = torch.zeros(2, *IMAGES.shape[2:])
    for image in IMAGES:
        for channel in (1, 2, 4):
            pixels = image[None].clone().requires_grad_(True)
            value = MODEL.values(pixels)["relu3"][(0, channel, *result.position)]
            (slope,) = torch.autograd.grad(value, pixels)
            summed += slope[0].abs().sum(0)
            signed += slope[0].sum(0)
    expected = (summed / 9)[result.box.slices].numpy()
    np.testing.assert_allclose(result.gradient, expected, rtol=1e-4, atol=1e-5)
    wrong = (signed / 9).abs()[result.box.slices].numpy()  # planted: absolute values of the mean
    assert not np.allclose(result.gradient, wrong, rtol=0.1)


def test_its_figure_and_table():
    result = effective_field(stack(4, 3), noise(2, 1, 20, 20), layer="3")
    figure = result.figure(width=WIDTH, caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "exact field 9 x 9; centre = 1" in words
    assert "mean |gradient|, centre = 1" in words
    assert "central unit, 1 channel, 2 images" in words
    (row,) = result.table()
    assert (row["layer"], row["exact"]) == ("3", result.box.edges)


def test_bad_input_is_told():
    with pytest.raises(ValueError, match="fc1 has no positions"):
        effective_field(MODEL, IMAGES, layer="fc1")
    with pytest.raises(IndexError, match="relu3 has no channel 5"):
        effective_field(MODEL, IMAGES, layer="relu3", channels=5)
    with pytest.raises(ValueError, match="zero in the centre"):
        effective_field(MODEL, IMAGES, layer="conv1", channels=0)  # dead
