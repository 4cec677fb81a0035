"""Invariance: nets that are invariant by construction, and transforms with their signs."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from deconvnet import Preprocessing, invariance
from deconvnet.studies.invariance import transformed
from tests.support.networks import noise
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH

SIZE = 24
PLAIN = Preprocessing((SIZE, SIZE), None, (0.0,) * 3, (1.0,) * 3)


def corner():
    """A bright pixel up and to the left of the centre."""
    image = torch.zeros(1, 11, 11)
    image[0, 2, 4] = 1.0
    return image


def brightest(image):
    return divmod(int(image[0].argmax()), image.shape[-1])


def test_signs_axes_and_centre_of_each_transform():
    image = corner()
    assert brightest(transformed(image, (11, 11), translation=3)) == (5, 4)  # down
    assert brightest(transformed(image, (11, 11), translation=-2)) == (0, 4)
    assert brightest(transformed(image, (11, 11), scale=2.0)) in {(-1, 3), (0, 3)}
    assert brightest(transformed(image, (11, 11), scale=1.5)) == (0, 3)  # away from the middle
    # (2, 4) is 3 up and 1 left of (5, 5); counter-clockwise by 90° that is 3 left and 1 down
    assert brightest(transformed(image, (11, 11), rotation=90)) == (6, 2)
    assert brightest(transformed(image, (11, 11), rotation=180)) == (8, 6)
    for wrong in ((5, 4)[::-1], (-1, 4)):  # planted: axes swapped, the other sign
        assert brightest(transformed(image, (11, 11), translation=3)) != wrong


def test_a_quarter_turn_and_whole_shifts_are_exact():
    image = noise(3, 12, 12)
    turned = transformed(image, (12, 12), rotation=90)
    torch.testing.assert_close(turned, torch.rot90(image, 1, (1, 2)), rtol=0, atol=1e-12)
    wrong = torch.rot90(image, -1, (1, 2))  # planted: clockwise
    assert (turned - wrong).abs().max() > 0.1
    off = transformed(torch.nn.functional.pad(image, (0, 1)), (12, 13), rotation=90)
    assert off.shape == (3, 12, 13)
    shifted = transformed(image, (12, 12), translation=2)
    torch.testing.assert_close(shifted[:, 2:], image[:, :-2], rtol=0, atol=1e-12)
    torch.testing.assert_close(shifted[:, :2], image[:, :1].expand(-1, 2, -1), rtol=0, atol=1e-12)


def test_what_is_vacated_comes_from_the_larger_photograph():
    large = noise(3, 30, 40)
    middle = transformed(large, (12, 12))
    torch.testing.assert_close(middle, large[:, 9:21, 14:26], rtol=0, atol=1e-12)
    moved = transformed(large, (12, 12), translation=-4)
    torch.testing.assert_close(moved, large[:, 13:25, 14:26], rtol=0, atol=1e-12)


class Circular(nn.Module):
    """A circular convolution of stride 4 and a global pooling: shifts by 4 change nothing."""

    def __init__(self, *, symmetric=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 5, 3, stride=1 if symmetric else 4, padding=1)
        self.conv.padding_mode = "circular"
        self.conv._reversed_padding_repeated_twice = [1, 1, 1, 1]
        if symmetric:
            with torch.no_grad():
                own = self.conv.weight
                turned = sum(torch.rot90(own, k, (2, 3)) for k in range(4))
                own.copy_(turned + turned.flip(3))
        self.relu, self.pool = nn.ReLU(), nn.AdaptiveMaxPool2d(1)

    def forward(self, x):
        return self.pool(self.relu(self.conv(x))).flatten(1)


def periodic(count=3):
    """An image of period 24, three periods high: what is vacated wraps round."""
    return noise(3, SIZE, SIZE).repeat(1, count, 1)


def test_circular_convolutions_and_global_pooling_do_not_see_shifts_by_their_stride(monkeypatch):
    monkeypatch.setattr("deconvnet.studies.invariance._sources", lambda *_: [periodic()])
    model, image = Circular().double().eval(), periodic()[None, :, SIZE : 2 * SIZE]
    shifts = {"translation": [-8, -4, 0, 4, 8, 1, 2, 3]}
    result = invariance(model, image, layers=["pool"], transforms=shifts, preprocessing=PLAIN)
    away = result.distances["translation"]["pool"][0]
    assert away[:5].max() < 1e-10
    assert away[5:].min() > 1e-3


def test_filters_with_the_symmetry_of_the_square_do_not_see_quarter_turns():
    model, image = Circular(symmetric=True).double().eval(), noise(1, 3, SIZE, SIZE)
    turns = {"rotation": [0, 90, 180, 270, 45]}
    result = invariance(model, image, layers=["pool"], transforms=turns, preprocessing=PLAIN)
    away = result.distances["rotation"]["pool"][0]
    assert away[:4].max() < 1e-6  # its filters were made in float32
    assert away[4] > 1e-3
    plain = invariance(
        Circular().double().eval(), image, layers=["pool"], transforms=turns, preprocessing=PLAIN
    )
    assert plain.distances["rotation"]["pool"][0, 1] > 1e-3


def test_of_a_first_layer_it_is_the_filter_of_the_difference():
    result = invariance(MODEL, IMAGES, layers=["conv1", "fc1"], preprocessing=PREPARED, names=NAMES)
    for name, points in result.transforms.items():
        for place, value in enumerate(points):
            for number, image in enumerate(IMAGES):
                moved = transformed(image, PREPARED.size, **{name: value})
                with torch.no_grad():
                    expected = nn.functional.conv2d(
                        (image - moved)[None], MODEL.conv1.weight, None, 2, 1
                    ).norm()
                    scores = MODEL(moved[None])[0].double().softmax(0)
                actual = result.distances[name]["conv1"][number, place]
                assert actual == pytest.approx(float(expected), rel=1e-3, abs=1e-3)
                shown = result.probability[name][number, place]
                assert shown == pytest.approx(float(scores[result.targets[number]]), abs=1e-4)
    norm = MODEL.values(IMAGES[:1])["conv1"].norm().detach()
    share = result.relative("rotation", "conv1")[0, 3] * float(norm)
    assert share == pytest.approx(result.distances["rotation"]["conv1"][0, 3], rel=1e-4)
    assert result.distances["scale"]["fc1"][:, 0].max() < 1e-3  # nothing has moved yet


def test_photographs_are_cropped_after_they_were_moved(tmp_path):
    generator = np.random.default_rng(0)
    photo = Image.fromarray(generator.integers(0, 256, (60, 50, 3), dtype=np.uint8))
    own = Preprocessing((17, 14), 20, (0.5,) * 3, (0.5,) * 3)
    result = invariance(MODEL, [photo, photo], transforms=["translation"], preprocessing=own)
    assert list(result.filled) == [False, False]
    assert result.layers == ["relu1", "relu_1"]
    assert result.distances["translation"]["relu1"].shape == (
        2,
        len(result.transforms["translation"]),
    )
    still = list(result.transforms["translation"]).index(0.0)
    assert result.distances["translation"]["relu1"][0, still] < 1e-2
    figure = result.figure(width=WIDTH, caption=True)
    assert len(figure.axes[0].child_axes) == 3
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "rows down" in words
    assert words.count("relative distance") == 2, "one a layer; the probability has its own name"
    assert len(result.table()) == 2 * len(result.transforms["translation"])


BAD = {
    "transform": (dict(transforms=["shear"]), ValueError, "expected some of translation, scale"),
    "no values": (dict(transforms={"scale": []}), ValueError, "expected one or more finite"),
    "no scale": (dict(transforms={"scale": [0.0]}), ValueError, "expected numbers above 0"),
    "no layer": (dict(layers=["relu9"]), KeyError, "no layer is called 'relu9'"),
    "no class": (dict(target=3), IndexError, "target=3 was given"),
    "two classes": (dict(target=[0, 1]), ValueError, "targets of images: 2 given, expected 3"),
}


@pytest.mark.parametrize(("options", "kind", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_told_before_any_work(options, kind, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.invariance.values", None)
    with pytest.raises(kind, match=told):
        invariance(MODEL, IMAGES, preprocessing=PREPARED, **options)


def test_an_untrained_classifier_has_no_probability():
    result = invariance(
        MODEL, IMAGES, classes=None, transforms={"scale": [1, 2]}, preprocessing=PREPARED
    )
    assert result.classes is None
    assert not [name for row in result.table() for name in row if "probability" in name]
    result.figure(width=WIDTH)
