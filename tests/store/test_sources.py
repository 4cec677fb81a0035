"""Exemplars of which no two share a photograph: chosen by the paths of images in the store."""

from types import SimpleNamespace

import numpy as np
import pytest

from deconvnet import zoo
from deconvnet.store.sources import photograph_of, strongest_slots

PATHS = {
    0: "cat@1[0:96,0:96]",
    1: "cat@2[0:192,0:192]",
    2: "dog.jpg",
    3: "cat@1[96:192,0:96]",
    4: "a[1]@home.jpg",
    5: "dog.jpg[0:5,0:5]",
}


class Mined(dict):
    images = PATHS


def store(activation):
    there = np.asarray([activation]) > 0
    table = SimpleNamespace(k=len(activation), images=np.arange(6)[None], has_picture=there)
    return Mined(relu=SimpleNamespace(every={"": table}))


@pytest.mark.parametrize(
    ("k", "per_source", "slots"),
    [
        (None, None, [0, 1, 2, 3, 4, 5]),
        (4, None, [0, 1, 2, 3]),
        (None, 1, [0, 2, 4]),
        (None, 2, [0, 1, 2, 4, 5]),
        (2, 1, [0, 2]),
    ],
)
def test_the_strongest_of_each_photograph(k, per_source, slots):
    mined = store([6, 5, 4, 3, 2, 1])
    assert strongest_slots(mined, "relu", 0, k=k, per_source=per_source) == slots
    mined = store([6, 0, 0, 0, 0, 0])
    assert strongest_slots(mined, "relu", 0, per_source=per_source) == [0]


@pytest.mark.parametrize("given", [{"k": 0}, {"per_source": -1}])
def test_numbers_below_one_are_refused(given):
    with pytest.raises(ValueError, match="expected 1 or more"):
        strongest_slots(store([1] * 6), "relu", 0, **given)


def test_a_tile_of_the_embedded_data_names_its_photograph():
    tiles = zoo.photographs(["chelsea"], scales=[2])
    assert {photograph_of(tiles.path(index)) for index in range(len(tiles))} == {"chelsea"}
    assert photograph_of("folder/cat.jpg") == "folder/cat.jpg"
