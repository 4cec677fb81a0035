"""Spectra of filters: Gabors of known frequency, energy as it is, and what a stride folds."""

import numpy as np
import pytest

from deconvnet.studies.frequencies import EDGES, beyond, spectrum

SIDE = 31


def gabor(down, across, strength=1.0):
    """A wave of (down, across) cycles per pixel under a Gaussian, (1, 1, SIDE, SIDE)."""
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    wave = np.cos(2 * np.pi * (down * rows + across * columns))
    return strength * (wave * np.exp(-(rows**2 + columns**2) / 60))[None, None]


def band(frequency):
    return int(np.searchsorted(EDGES, frequency)) - 1


WAVES = [(0.094, 0.0), (0.0, 0.22), (0.28, 0.0), (0.2, 0.2), (0.35, -0.2), (0.46, 0.0)]


@pytest.mark.parametrize("wave", WAVES, ids=str)
def test_a_gabor_falls_into_the_band_of_its_frequency(wave):
    shares = spectrum(gabor(*wave))
    assert shares.sum() == pytest.approx(1, abs=1e-12)
    assert shares.argmax() == band(np.hypot(*wave))
    assert shares[shares.argmax()] > 0.6


def test_energy_counts_as_it_is_and_not_as_it_is_drawn():
    """A filter of ten times the strength has a hundred times the energy."""
    filters = np.concatenate([gabor(0.0, 0.1, 10.0), gabor(0.4, 0.0)])
    shares = spectrum(filters)
    assert shares[band(0.4)] / shares[band(0.1)] == pytest.approx(0.01, rel=0.2)
    most = np.abs(filters).max((1, 2, 3), keepdims=True)
    stretched = spectrum(0.5 + 0.5 * filters / most)  # planted: each as it is drawn, on grey
    assert stretched.argmax() == 0, "grey is a frequency of 0, and more than all else"
    assert spectrum(filters / most)[band(0.4)] > 0.3  # planted: without grey


def test_energy_of_several_bands_of_an_image_is_summed():
    one = gabor(0.2, 0.0)
    both = np.concatenate([one, -one], axis=1)  # planted: the sum over bands would be zero
    np.testing.assert_allclose(spectrum(both), spectrum(one))


def test_white_noise_fills_rings_by_their_area():
    tap = np.zeros((1, 1, 7, 7))
    tap[..., 3, 3] = 2.0
    shares = spectrum(tap)
    rings = np.pi * (EDGES[1:] ** 2 - EDGES[:-1] ** 2)
    np.testing.assert_allclose(shares[:8], rings[:8], rtol=0.12)  # rings inside the square
    assert spectrum(np.zeros((2, 3, 5, 5))).tolist() == [0.0] * (len(EDGES) - 1)


@pytest.mark.parametrize(
    ("wave", "stride", "folded"),
    [
        ((0.2, 0.0), (4, 4), True),
        ((0.2, 0.0), (2, 2), False),
        ((0.0, 0.2), (4, 4), True),
        ((0.2, 0.0), (2, 4), False),  # planted: strides of the other axis
        ((0.0, 0.2), (2, 4), True),
        ((0.2, 0.2), (2, 2), False),  # planted: 0.28 cycles along the diagonal
        ((0.3, 0.0), (1, 1), False),
    ],
)
def test_a_stride_folds_what_is_above_half_a_cycle_a_step(wave, stride, folded):
    share = beyond(gabor(*wave), stride)
    assert (share > 0.9) if folded else (share < 0.1)
