"""Figures of networks: every number and every crop that is drawn is that of the network."""

import numpy as np
import pytest
import torch

import deconvnet
from deconvnet import DeconvNet, Preprocessing, Unit
from deconvnet.mining.exemplars import Exemplar
from deconvnet.studies import draw
from deconvnet.studies.draw import (
    METHODS,
    Photograph,
    draw_comparison,
    draw_exemplars,
    draw_units,
    provenance,
)
from deconvnet.units import Box
from deconvnet.zoo.load import LoadedModel
from tests.support.mined import SIZE, Ties, box, pictures
from tests.support.reference import assert_same, projections

PREPARED = Preprocessing(SIZE, None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
WIDTH = 5.0
UNIT = Unit("relu", 2)


@pytest.fixture(scope="module")
def loaded():
    model = Ties(quantised=False).eval()
    return LoadedModel(model, "net.py:make", "elsewhere/w.pth", PREPARED)


@pytest.fixture(scope="module")
def photographs():
    return [Photograph(f"{i}.jpg", image) for i, image in enumerate(pictures(nan=False)[:3])]


@pytest.fixture
def given(monkeypatch):
    """What the figures are asked to draw."""
    found = {}

    def noting(name):
        really = getattr(draw, name)

        def note(rows, **options):
            found[name] = (rows, options)
            return really(rows, **options)

        return note

    for name in ("comparison", "visualization", "figure2"):
        monkeypatch.setattr(draw, name, noting(name))
    return found


def strongest(loaded, photograph, unit):
    """Value and (row, col) of the strongest place of a channel, by a plain forward pass."""
    with torch.no_grad():
        values = loaded.model.values(photograph.tensor[None])[unit.layer][0, unit.channel]
    return float(values.max()), divmod(int(values.argmax()), values.shape[-1])


def test_units_and_their_numbers(loaded, photographs, given):
    net = DeconvNet(loaded.model)
    units = [UNIT, Unit("relu", 1), Unit("relu", 1, 1, 0)]
    figure, numbers = draw_units(net, loaded, photographs, units, seed="activation", width=WIDTH)
    assert figure.get_size_inches()[0] == WIDTH
    rows, options = given["visualization"]
    assert options["title"] == "relu"
    assert len(numbers) == 9
    for photograph, row, told in zip(photographs, rows, np.reshape(numbers, (3, 3)), strict=True):
        picture = PREPARED.picture(photograph.tensor)
        np.testing.assert_array_equal(row.photograph, picture)
        maps = loaded.model.values(photograph.tensor[None])["relu"].detach()
        for unit, view, number in zip(units, row.views, told, strict=True):
            value, place = strongest(loaded, photograph, unit)
            if unit.position:
                place = unit.position
                value = float(maps[(0, unit.channel, *place)])
            top, left, bottom, right = box("relu", *place)
            assert number["box"] == view.box == (top, left, bottom, right)
            assert number["activation"] == pytest.approx(value, rel=1e-5)
            assert number["unit"] == f"relu:{unit.channel}@{place[0]},{place[1]}"
            assert number["image"] == photograph.name
            np.testing.assert_array_equal(view.patch, picture[top:bottom, left:right])
            whole = net.project(
                photograph.tensor[None], layer="relu", channel=unit.channel, position=place
            )
            cut = whole[0, :, top:bottom, left:right].permute(1, 2, 0).numpy()
            np.testing.assert_allclose(view.projection, cut, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("unit", [UNIT, Unit("relu", 1, 0, 1), Unit("fc2", 2), None])
def test_comparison(loaded, photographs, given, unit):
    """Every method against autograd with its rule put in place of every rectifier."""
    scores = unit is None or unit.layer == "fc2"
    classes = ["fruit/red_apple", "pear", "stone/grey_pebble"] if scores else []
    figure, numbers = draw_comparison(
        loaded, photographs, unit, elsewhere=None, width=WIDTH, classes=classes
    )
    rows, options = given["comparison"]
    assert options["columns"] == ["photograph", *METHODS]
    seen = []
    for photograph, row, number in zip(photographs, rows, numbers, strict=True):
        one = unit or Unit("fc2", int(loaded.model(photograph.tensor[None]).argmax()))
        place = one.position or (
            strongest(loaded, photograph, one)[1] if one.layer != "fc2" else ()
        )
        one = Unit.at(one.layer, one.channel, position=tuple(place) or None)
        expected = box(one.layer, *place) if place else None
        assert row.box == expected
        assert number["box"] == (expected or (0, 0, *SIZE))
        assert number["unit"] == str(one)
        name = {0: "red apple", 1: "pear", 2: "grey pebble"}[one.channel] if classes else str(one)
        assert row.label == f"{name} = {number['activation']:.3g}"
        for method, found in zip(METHODS, row.projections, strict=True):
            image = photograph.tensor[None]
            reference = projections(loaded.model, image, [one], method, seed=number["activation"])
            if reference.abs().max() > 0:
                seen.append(method)
                assert_same(torch.tensor(found.transpose(2, 0, 1))[None], reference, tolerance=1e-4)
    assert set(seen) == set(METHODS)


def test_exemplars_become_blocks(given):
    picture = np.zeros((4, 4, 3), "f4")
    unit, seen = Unit("relu", 7, 0, 0), Box((0, 0), (4, 4))
    found = {7: [Exemplar(unit, 2.5, seen, (1, 2), picture, picture)] * 3, 9: []}
    draw_exemplars(found, "relu", width=WIDTH, rectifier="guided")
    (alive, dead), options = given["figure2"]
    assert (alive.channel, alive.activations, alive.note) == (7, [2.5] * 3, None)
    assert alive.anchors == [(1, 2)] * 3
    assert (dead.channel, dead.note, dead.patches) == (9, "never positive", [])
    assert (options["title"], options["subtitle"]) == ("relu", "guided")


def test_provenance_says_how_a_figure_was_made(loaded):
    found = provenance(loaded, layer="relu", channels=3)
    assert found["model"] == "net.py:make"
    assert found["weights"] == "w.pth"  # the name: a path would tell of somebody's disk
    assert (found["layer"], found["channels"]) == ("relu", "3")
    assert (found["deconvnet"], found["torch"]) == (deconvnet.__version__, torch.__version__)
    assert all(isinstance(value, str) for value in found.values())
