"""A table checks itself when it is made."""

import numpy as np
import pytest

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
