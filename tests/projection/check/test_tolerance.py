"""How far values are from each other: small, large, spoiled, and in containers."""

from dataclasses import dataclass

import pytest
import torch

from deconvnet.projection.check.tolerance import agrees, difference, told

ONE = torch.tensor([3.0, 4.0])


@dataclass
class Held:
    value: torch.Tensor
    other: object = None


@pytest.mark.parametrize("scale", [1.0, 1e-30, 1e-38, 1e30])
def test_it_is_relative_whatever_the_scale(scale):
    assert difference(scale * (ONE + torch.tensor([0.0, 0.5])), scale * ONE) == pytest.approx(0.1)
    assert difference(scale * ONE, scale * ONE) == 0


NAN, INF = float("nan"), float("inf")
PAIRS = {
    "nothing": (None, None, 0),
    "another shape": (ONE, ONE[None], INF),
    "another number": ([ONE, ONE], [ONE], INF),
    "nothing where something is": (ONE, 0 * ONE, INF),
    "not a number": (torch.tensor([NAN, 1.0]), torch.tensor([NAN, 1.0]), 0),
    "not a number where one is": (torch.tensor([NAN, 1.0]), torch.tensor([1.0, 1.0]), INF),
    "infinite": (torch.tensor([INF, 1.0]), torch.tensor([INF, 1.0]), 0),
    "infinite on the other side": (torch.tensor([INF, 1.0]), torch.tensor([-INF, 1.0]), INF),
    "integers": (torch.tensor([3, 4]), torch.tensor([3, 4]), 0),
    "other integers": (torch.tensor([3, 5]), torch.tensor([3, 4]), 0.2),
    "containers": ({"a": (ONE, [2 * ONE])}, {"a": (ONE, [ONE])}, 1),
    "data classes": (Held(ONE, [2 * ONE]), Held(ONE, [ONE]), 1),
    "no values": (ONE[:0], ONE[:0], 0),
}


@pytest.mark.parametrize("pair", PAIRS)
def test_of(pair):
    found, expected, right = PAIRS[pair]
    assert difference(found, expected) == pytest.approx(right)


def test_each_precision_has_its_own_tolerance():
    for dtype, enough in ((torch.float64, 1e-9), (torch.float32, 1e-5), (torch.bfloat16, 1e-2)):
        assert agrees(enough, dtype)
        assert not agrees(50 * enough, dtype)
        assert not agrees(INF, dtype)


def test_it_tells_where_they_differ_most():
    assert told(ONE[None], ONE[None] + 1) == ("3 at (0, 0)", "4 at (0, 0)", 0)
    assert told([ONE, ONE], [ONE, torch.tensor([3.0, 9.0])]) == ("4 at (1,)", "9 at (1,)", 1)
    assert told(ONE, [ONE, ONE]) == ("1 tensors", "2 tensors", None)
    assert told(ONE, ONE[None]) == ("shape (2,)", "shape (1, 2)", None)
