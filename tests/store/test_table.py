"""A table checks itself when it is made."""

import numpy as np
import pytest

from tests.support.sampled import sampled
from tests.support.small_tables import MAXIMA, table


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"activation": MAXIMA.astype("f8")}, r"activation is float64 \(2, 2\), expected float32"),
        ({"row": np.zeros((2, 2))}, "row is float64"),
        ({"box": np.zeros((2, 2), "i4")}, r"box is int32 \(2, 2\), expected int32 \(2, 2, 2\)"),
        ({"mean": np.zeros(3)}, r"mean is float64 \(3,\), expected float64 \(2,\)"),
        ({"nan": [0, 0]}, "nan is list"),
        ({"activation": MAXIMA[:, ::-1].copy()}, "half empty|not sorted"),
        ({"activation": MAXIMA * np.array([[-1], [1]], "f4")}, "not sorted"),
        ({"activation": np.array([[2, 2], [1, 1]], "f4")}, "half empty"),
        ({"image": np.array([[0, 0], [1, -1]])}, "twice"),
        ({"image": np.array([[0, 1], [1, -2]])}, "half empty"),
    ],
)
def test_tables_that_make_no_sense(changes, message):
    with pytest.raises(ValueError, match=message):
        table(**changes)


def test_ties_and_infinities_are_sorted():
    table(activation=np.array([[np.inf, np.inf], [-np.inf, np.nan]], "f4"))
    with pytest.raises(ValueError, match="not sorted"):
        table(
            activation=np.array([[2, 2], [1, np.nan]], "f4"),
            image=np.array([[1, 0], [1, -1]]),
        )


def test_quantiles_are_ranks(tmp_path):
    values = np.random.default_rng(0).random((3, 30)).astype("f4")
    values[1, 4] = np.nan
    values[2] = [*np.full(29, np.nan), 1]
    sample = sampled(tmp_path / "top.h5", values)["relu"].sample
    ranked = np.argsort(values[0])
    assert sample.at_quantiles(0, (0, 0.5, 1)) == [ranked[0], ranked[14], ranked[29]]
    assert 4 not in sample.at_quantiles(1, np.linspace(0, 1, 30))
    assert sample.at_quantiles(2, (0, 0.5, 1)) == [29, 29, 29]
    assert sample.at_quantiles(2, ()) == []


def test_a_sample_that_sees_no_pixels_has_no_quantiles(tmp_path):
    sample = sampled(tmp_path / "top.h5", [[1, 2, 3], [4, 5, 6]])["relu"].sample
    sample.box[1, :, 2:] = sample.box[1, :, :2]
    assert sample.at_quantiles(0, (0, 1)) == [0, 2]
    assert sample.at_quantiles(1, (0, 1)) == []
