"""The law of values: what a window says may depend on sizes alone."""

from dataclasses import dataclass

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from deconvnet.layers import Inside, Interval, Local, MirroredLayer, Record
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import call, numbers, positive
from tests.test_testing import Square


class Looking(Square):
    """A window that is right for these values, and narrower for others.

    Args:
        sees: of an input, what tells the narrow window from the wide one.
    """

    def __init__(self, sees):
        self.sees = sees

    def window(self, window, record):
        *lead, place = window
        wide = bool(self.sees(record.input))
        return ((*lead, Interval.whole() if wide else place),)


LOOKING = {
    "the mean": lambda x: x.mean() > 0.01,
    "where the greatest stands": lambda x: x.flatten().argmax() < x.numel() // 2,
    "the first sample": lambda x: x[0].sum() > x[1].sum(),
    "whether any is small": lambda x: (x < 0.3).any(),
}


@pytest.mark.parametrize("how", LOOKING)
def test_value_law_catches_a_window_that_looks_at_values(how):
    with pytest.raises(LawBroken, match=r"value law: Looking, output 0, places \[.*sizes alone"):
        check_layer(Looking(LOOKING[how]), positive(4, 2, 9))


def test_value_law_catches_what_would_be_cut_away():
    """The layer that a crop once lost all of its mass by: its window is where the maximum is."""

    class Shifted(MirroredLayer):
        def record(self, input):
            place = int(input[0, 0].argmax())
            return input.roll(place, 2), Shift(place)

        def mirror(self, signal, record):
            return (signal.roll(-record.by, 2),)

        def window(self, window, record):
            *lead, place = window
            wraps = place.shifted(-record.by)
            around = (np.asarray(wraps.start) < 0) & (np.asarray(wraps.stop) > 0)
            start = np.where(around, 0, wraps.start % 9)
            return ((*lead, Interval(start, np.where(around, 9, (wraps.stop - 1) % 9 + 1))),)

    @dataclass(frozen=True, eq=False)
    class Shift(Record):
        by: int

    with pytest.raises(LawBroken, match="value law"):
        check_layer(Shifted(), numbers(2, 1, 9))


def test_value_law_catches_a_size_and_a_way_that_look_at_values():
    class Narrow(Square):
        def inside(self, record):
            return Inside(self) if record.input.mean() > 0.6 else None

    with pytest.raises(LawBroken, match="value law: Narrow runs on windows for some values alone"):
        check_layer(Narrow(), positive(4, 2, 9))

    class Trimmed(Square):
        def record(self, input):
            output, kept = super().record(input)
            return output[..., : 5 + int(input.mean() > 0.6)], kept

        def mirror(self, signal, record):
            lost = record.input.shape[-1] - signal.shape[-1]
            return super().mirror(F.pad(signal, (0, lost)), record)

    with pytest.raises(LawBroken, match="value law: Trimmed, other values give outputs of sizes"):
        check_layer(Trimmed(), positive(4, 2, 9))


def test_value_law_takes_no_values_that_a_layer_does_not():
    """Logarithms and matrices that must be positive: no other values are made up."""

    class Factor(Local):
        """Cholesky's factor; drawn anew, no matrix is symmetric and positive."""

        def record(self, input):
            if not torch.equal(input, input.mT):
                raise ValueError("not symmetric")
            return super().record(input)

    matrices = numbers(3, 4, 4)
    matrices = matrices @ matrices.mT + torch.eye(4)
    check_layer(Factor(torch.linalg.cholesky), matrices, forward=torch.linalg.cholesky)
    check_layer(*call("log", positive(3, 4, 5))[:1], positive(3, 4, 5), exact_window=True)
