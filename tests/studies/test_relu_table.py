"""The numbers of Springenberg's figure 1, as our own rules make them."""

import numpy as np
import pytest

from deconvnet import Rectifier
from deconvnet.studies.relu_table import relu_table

# Springenberg et al. 2014, figure 1, worked out by hand
FORWARD = [[1, 0, 5], [2, 0, 0], [0, 2, 4]]
SENT = {
    "gradient": [[-2, 0, -1], [6, 0, 0], [0, -1, 3]],
    "deconvnet": [[0, 3, 0], [6, 0, 1], [2, 0, 3]],
    "guided": [[0, 0, 0], [6, 0, 0], [0, 0, 3]],
}


def test_the_numbers_are_the_papers():
    result = relu_table()
    assert {name: sent.tolist() for name, sent in result.sent.items()} == SENT
    (forward, *rows) = result.table()
    assert forward == {"pass": "forward", "output": FORWARD, "input": result.z.tolist()}
    assert [row["pass"] for row in rows] == list(SENT)
    assert [row["input"] for row in rows] == list(SENT.values())
    assert all(row["output"] == result.R.tolist() for row in rows)
    assert "-0.0" not in repr(result)


def test_its_repr_holds_every_number_of_every_rule():
    assert repr(relu_table()).splitlines() == [
        "ReluTable(z = 1 -1 5 | 2 -5 -7 | -3 2 4; R = -2 3 -1 | 6 -3 1 | 2 -1 3)",
        "  forward: z becomes 1 0 5 | 2 0 0 | 0 2 4",
        "  gradient: R becomes -2 0 -1 | 6 0 0 | 0 -1 3",
        "  deconvnet: R becomes 0 3 0 | 6 0 1 | 2 0 3",
        "  guided: R becomes 0 0 0 | 6 0 0 | 0 0 3",
    ]
    many = repr(relu_table(["gradient", "deconvnet", "guided", "identity", "rectgrad(50)"]))
    assert len(many.splitlines()) == 5
    assert many.endswith("… and 3 more rules in table()")


class Wrong(Rectifier):
    """Looks at the sign of the signal and forgets the mask."""

    name = "guided"

    def remember(self, z, a, activation):
        return None

    def signal(self, R, kept):
        return R.clamp(min=0)


def test_a_wrong_rule_shows_in_the_table():
    """The numbers are made by the rule itself."""
    assert relu_table(Wrong()).sent["guided"].tolist() != SENT["guided"]


def test_a_stopped_value_is_put_down_to_what_the_rule_looks_at():
    result = relu_table(["gradient", "deconvnet", "guided", "identity"])
    off, negative = result.z <= 0, result.R <= 0
    nothing = np.zeros((3, 3), bool)
    expected = {
        "gradient": (off, nothing), "deconvnet": (nothing, negative),
        "guided": (off, negative), "identity": (nothing, nothing),
    }  # fmt: skip
    for name, masks in expected.items():
        for mask, right in zip(result.stopped[name], masks, strict=True):
            assert np.array_equal(mask, right), name


def test_an_unknown_rule_is_told():
    with pytest.raises(ValueError, match="no rectifier is called 'guide'"):
        relu_table("guide")
