"""Methods side by side, each against autograd with its rule in place of every rectifier."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Unit, UnmirroredError
from deconvnet.graph import frontends
from deconvnet.studies.compare import METHODS, _whole, compare
from tests.support.mined import SIZE, box
from tests.support.reference import assert_same, projections
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED, WIDTH, strongest


@pytest.mark.parametrize("unit", [Unit("relu", 2), Unit("relu", 1, 0, 1), Unit("fc2", 2), None])
def test_comparison(unit):
    scores = unit is None or unit.layer == "fc2"
    classes = ["fruit/red_apple", "pear", "stone/grey_pebble"] if scores else []
    result = compare(
        MODEL, IMAGES, target=unit, preprocessing=PREPARED, names=NAMES, classes=classes
    )
    assert tuple(result.exemplars) == METHODS
    figure = result.figure(width=WIDTH)
    assert figure.get_size_inches()[0] == WIDTH
    words = [text.get_text() for text in figure.axes[0].texts]
    assert words[:4] == ["photograph", *METHODS]
    seen = []
    for place_, (image, number) in enumerate(zip(IMAGES, result.table(), strict=True)):
        one = unit or Unit("fc2", int(MODEL(image[None]).argmax()))
        place = one.position or (strongest(image, one)[1] if one.layer != "fc2" else ())
        one = Unit.at(one.layer, one.channel, position=tuple(place) or None)
        assert number["box"] == (box(one.layer, *place) if place else (0, 0, *SIZE))
        assert (number["unit"], number["image"]) == (str(one), NAMES[place_])
        name = {0: "red apple", 1: "pear", 2: "grey pebble"}[one.channel] if classes else str(one)
        assert f"{name} = {number['activation']:.3g}".endswith(words[4 + place_].lstrip("…"))
        np.testing.assert_array_equal(result.pictures[place_], PREPARED.picture(image))
        for method, those in result.exemplars.items():
            found = _whole(those[place_], SIZE)
            reference = projections(MODEL, image[None], [one], method, seed=number["activation"])
            if reference.abs().max() > 0:
                seen.append(method)
                assert_same(torch.tensor(found.transpose(2, 0, 1))[None], reference, tolerance=1e-4)
    assert set(seen) == set(METHODS)


def test_a_net_is_taken_as_its_model_and_methods_as_asked():
    net, unit = DeconvNet(MODEL, "guided"), Unit("relu", 2)
    one = compare(net, IMAGES, target=unit, rectifiers=["identity"], preprocessing=PREPARED)
    assert list(one.exemplars) == ["identity"]
    whole = DeconvNet(MODEL, "identity").project(IMAGES, layer="relu", channel=2)
    found = np.stack([_whole(each, SIZE) for each in one.exemplars["identity"]])
    np.testing.assert_allclose(found.transpose(0, 3, 1, 2), whole, atol=1e-5)
    assert list(one.names) == ["0", "1", "2"]


def test_the_graph_is_read_once_and_what_the_net_knows_is_kept(monkeypatch):
    read, trace = [], frontends.trace
    monkeypatch.setattr(frontends, "trace", lambda *a, **k: read.append(1) or trace(*a, **k))
    found = compare(MODEL, IMAGES, target=Unit("relu", 2), preprocessing=PREPARED)
    assert list(found.exemplars) == list(METHODS)
    assert len(read) == 1
    smooth = nn.Sequential(nn.Conv2d(3, 4, 3), nn.GELU())
    net, unit = DeconvNet(smooth, fallback="derivative"), Unit("1", 2)
    assert compare(net, IMAGES, target=unit, preprocessing=PREPARED).table()
    with pytest.raises(UnmirroredError, match="no rule for GELU"):
        compare(smooth, IMAGES, target=unit, preprocessing=PREPARED)
