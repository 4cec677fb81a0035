"""The laws themselves: each is kept by good layers and catches a fault planted for it."""

from dataclasses import dataclass, replace

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from deconvnet.layers import Inside, Local, MirroredLayer, Record, Switches
from deconvnet.layers.linear import Linear
from deconvnet.testing import LawBroken, check_layer
from tests.support.layer_laws import Planted, call, numbers, positive, wider


@dataclass(frozen=True, eq=False)
class Squared(Record):
    """The input."""

    input: Tensor


class Square(MirroredLayer):
    """What a user might add: ``x²``."""

    def record(self, input):
        return input * input, Squared(input)

    def mirror(self, signal, record):
        return (2 * signal * record.input,)

    def window(self, window, record):
        return (window,)


def a_convolution():
    return call(F.conv2d, numbers(3, 2, 6, 7), positive(4, 2, 3, 3), stride=2, padding=1)


def test_a_layer_of_ones_own_keeps_the_laws():
    check_layer(Square(), positive(3, 2, 5), exact_window=True)


def test_mirror_law_catches_an_adjoint_that_is_off_by_a_little():
    off = Planted(Square(), back=lambda s, record: (2 * s * record.input * 1.0005,))
    with pytest.raises(LawBroken, match=r"mirror law: Planted, signal to input 0, index \("):
        check_layer(off, numbers(3, 2, 5))


def test_mirror_law_points_to_where_it_is_broken():
    def one_place_off(signal, record):
        back = 2 * signal * record.input
        back[1, 0, 3] += 1e-3
        return (back,)

    with pytest.raises(LawBroken, match=r"index \(1, 0, 3\): found .*, expected "):
        check_layer(Planted(Square(), back=one_place_off), numbers(3, 2, 5))


def test_mirror_law_catches_one_bad_digit_and_nan():
    for fault in (1e-8, float("nan")):
        off = Planted(Square(), back=lambda s, r, fault=fault: (2 * s * r.input + fault,))
        with pytest.raises(LawBroken, match="mirror law"):
            check_layer(off, numbers(3, 2, 5))


def test_tolerance_is_what_is_tolerated():
    off = Planted(Square(), back=lambda s, record: (2 * s * record.input + 1e-9,))
    check_layer(off, numbers(3, 2, 5), tolerance=1e-8)


def test_mirror_law_catches_wrong_shapes_and_numbers_of_signals():
    layer, inputs = call(torch.add, numbers(2, 3, 4), numbers(3, 1))
    forgotten = Planted(layer, back=lambda s, record: (s, s))
    with pytest.raises(LawBroken, match=r"to input 1: found shape \(2, 3, 4\), expected \(3, 1\)"):
        check_layer(forgotten, *inputs)
    with pytest.raises(LawBroken, match="took 2 tensors and sent 1 signals back"):
        check_layer(Planted(layer, back=lambda s, record: (s,)), *inputs)


def test_mirror_law_catches_a_path_left_out():
    layer, inputs = call(torch.add, numbers(2, 3), numbers(2, 3, seed=1))
    with pytest.raises(LawBroken, match="mirror law.*to input 1"):
        check_layer(Planted(layer, back=lambda s, record: (s, None)), *inputs)


def test_forward_law_catches_another_function():
    check_layer(Square(), numbers(2, 3), forward=torch.square)
    with pytest.raises(LawBroken, match="forward law"):
        check_layer(Square(), numbers(2, 3), forward=lambda x: x * x + 1e-6)


@pytest.mark.parametrize("axis", [0, 1, 2, 3])
@pytest.mark.parametrize("sides", [(-1, 0), (0, -1)])
def test_window_law_catches_one_too_small_on_any_axis(axis, sides):
    layer, inputs = a_convolution()
    check_layer(layer, *inputs)
    with pytest.raises(LawBroken, match="window law.*but the window says"):
        check_layer(Planted(layer, sees=lambda w: wider(_finite(w), *sides, axis=axis)), *inputs)


def _finite(window):
    """With the channels as numbers, so that one of them can be left out."""
    parts = list(window)
    parts[1] = parts[1].clipped(2)
    return tuple(parts)


@pytest.mark.parametrize("axis", [0, 2, 3])
@pytest.mark.parametrize("sides", [(1, 0), (0, 1)])
def test_exact_window_law_catches_one_too_large(axis, sides):
    layer, inputs = a_convolution()
    check_layer(layer, *inputs, exact_window=True)
    large = Planted(layer, sees=lambda w: wider(w, *sides, axis=axis))
    check_layer(large, *inputs)
    with pytest.raises(LawBroken, match="window law"):
        check_layer(large, *inputs, exact_window=True)


def test_window_law_catches_an_input_that_is_not_seen_at_all():
    layer, inputs = call(torch.mul, numbers(2, 3), numbers(2, 3, seed=1))
    with pytest.raises(LawBroken, match="of input 0, but the window says nothing"):
        check_layer(Planted(layer, sees=lambda w: None), *inputs)


@pytest.mark.parametrize("wrong", [lambda i: i.flip(0), lambda i: (i + 1) % 3, lambda i: 0 * i])
def test_take_law_catches_the_wrong_rows(wrong):
    check_layer(Planted(Square(), taken=lambda i: i), numbers(3, 2, 5))
    with pytest.raises(LawBroken, match=r"take law: Planted, \(unit, ...\) of the signals"):
        check_layer(Planted(Square(), taken=wrong), numbers(3, 2, 5))


def test_take_law_catches_samples_that_are_not_separable():
    @dataclass(frozen=True, eq=False)
    class Mean(Record):
        size: torch.Size

    class Centred(MirroredLayer):
        """``x - x.mean(0)`` mixes the samples, but its record does not say so."""

        def record(self, input):
            return input - input.mean(0), Mean(input.shape)

        def mirror(self, signal, record):
            return (signal - signal.mean(0),)

        def window(self, window, record):
            return (wider(window, 9, 9, axis=0),)

    with pytest.raises(LawBroken, match="take law"):
        check_layer(Centred(), numbers(3, 4))


def test_untouched_law_catches_writing_in_place():
    class InPlace(Square):
        def record(self, input):
            kept = input.clone()
            with torch.no_grad():
                input.clamp_(min=0.5)
            return kept * kept, Squared(kept)

    with pytest.raises(LawBroken, match="untouched law: InPlace, input 0 after record"):
        check_layer(InPlace(), numbers(2, 3), forward=torch.square)

    def writes(signal, record):
        back = 2 * signal * record.input
        signal.zero_()
        return (back,)

    with pytest.raises(LawBroken, match="untouched law: Planted, signal 0 after mirror"):
        check_layer(Planted(Square(), back=writes), numbers(2, 3))


def test_untouched_law_catches_a_record_that_is_used_up():
    def uses_up(signal, record):
        back = 2 * signal * record.input
        record.input.mul_(2)
        return (back,)

    copying = Planted(Square(), back=uses_up)
    with pytest.raises(LawBroken, match="untouched law: Planted, second signal to input 0"):
        check_layer(copying, numbers(2, 3))


@pytest.mark.parametrize(
    ("fault", "told"),
    {
        "another border": (lambda inside: replace(inside, outside=1.0), "window 0"),
        "no border": (lambda inside: replace(inside, outside=None), "window 0"),
        "a bias more": (
            lambda inside: Inside(replace(inside.layer, bias=torch.ones(4).double()), 0.0),
            "window 0",
        ),
        "another filter on the way down": (
            lambda inside: Inside(Planted(inside.layer, back=lambda s, record: (
                2 * inside.layer.mirror(s, record)[0],)), 0.0),
            "signal of windows by its own record to input 0",
        ),
    }.values(),
)  # fmt: skip
def test_inside_law_catches(fault, told):
    layer, inputs = a_convolution()
    check_layer(Planted(layer, within=lambda inside: inside), *inputs)
    with pytest.raises(LawBroken, match=f"inside law: Planted, {told}"):
        check_layer(Planted(layer, within=fault), *inputs)


def test_inside_law_catches_a_record_that_is_cut_wrongly(monkeypatch):
    layer, inputs = call(F.max_pool2d, numbers(3, 2, 7, 8), 3, stride=2, padding=1)
    check_layer(layer, *inputs)
    monkeypatch.setattr(
        Switches,
        "within",
        lambda self, output, inputs: Switches(
            output.of(self.places) * 0, inputs[0].sized(self.size)
        ),
    )
    with pytest.raises(LawBroken, match=r"signal of windows by within\(\) to input 0"):
        check_layer(layer, *inputs)


def test_inputs_must_be_float64_tensors():
    with pytest.raises(TypeError, match=r"an input was torch.float32; .*\.double\(\)"):
        check_layer(Square(), torch.ones(2, 3))
    with pytest.raises(TypeError, match="an input was int"):
        check_layer(Square(), 3)


def test_what_detaches_its_output_needs_a_forward():
    layer = Local(torch.exp)
    with pytest.raises(ValueError, match="the output of Local has no derivative .* forward="):
        check_layer(layer, numbers(2, 3))
    check_layer(layer, numbers(2, 3), forward=torch.exp)


def test_a_float32_layer_is_told_by_torch():
    with pytest.raises(RuntimeError, match="dtype"):
        check_layer(Linear(torch.ones(2, 3)), numbers(2, 3))
