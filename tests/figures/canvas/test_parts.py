"""One sign of a projection, against what Schlüter's notebook computes of it."""

import numpy as np
import pytest

from deconvnet.figures import SIGNS, part

SALIENCY = np.random.default_rng(0).normal(size=(7, 5, 3)) - 0.2


def notebook(saliency):
    """Its three pictures: absolute value, positive and negative saliency."""
    absolute = np.abs(saliency).max(axis=-1)
    return {
        "absolute_value": absolute / absolute.max(),
        "positive": np.maximum(0, saliency) / saliency.max(),
        "negative": np.maximum(0, -saliency) / -saliency.min(),
    }


@pytest.mark.parametrize("sign", SIGNS[1:])
def test_it_is_what_the_notebook_draws(sign):
    expected = notebook(SALIENCY)[sign]
    expected = expected if expected.ndim == 3 else np.stack([expected] * 3, 2)
    np.testing.assert_allclose(part(SALIENCY, sign), expected)
    assert not np.allclose(part(-SALIENCY, sign), expected) or sign == "absolute_value"


@pytest.mark.parametrize("sign", SIGNS[1:])
def test_where_there_is_nothing_all_is_black(sign):
    assert not part(np.zeros((2, 2, 3)), sign).any()
    assert not part(-np.ones((2, 2, 1)), "positive").any()
    assert part(-np.ones((2, 2)), "negative").min() == 1


def test_another_sign_is_refused():
    with pytest.raises(ValueError, match="the sign was 'all', expected one of positive"):
        part(SALIENCY, "all")
