"""Groups of exemplars, a line each, with no empty tiles."""

import numpy as np
import pytest

from deconvnet.figures import pair_rows
from deconvnet.units import Box, Exemplar, Unit


def exemplar(*, size=(10, 14), overhang=(0, 0), value=1.0):
    patch = np.random.default_rng(0).random((*size, 3), dtype="f4")
    return Exemplar(Unit("relu4", 3), 2.0, Box((0, 0), size), overhang, patch, patch * value)


@pytest.mark.parametrize("width", ["cvpr", "cvpr-full"])
@pytest.mark.parametrize("counts", [(1,), (5, 7, 4), (9, 9), (12, 1)])
def test_every_exemplar_is_drawn_and_nothing_else(faults, width, counts):
    groups = {f"facet {n}: fed by relu4: 3": [exemplar()] * c for n, c in enumerate(counts)}
    figure = pair_rows(groups, width=width, title="facets", caption="told")
    assert faults(figure) == []
    assert len(figure.axes[0].images) == 2 * sum(counts)
    assert not [patch for patch in figure.axes[0].patches if patch.get_facecolor()[:3] != (1, 1, 1)]


def test_patches_stand_above_their_projections_and_clipped_ones_where_they_stood():
    figure = pair_rows({"a": [exemplar(), exemplar(size=(4, 14), overhang=(6, 0), value=0)]})
    first, second, third = figure.axes[0].images
    (left, _, bottom, top), below = first.get_extent(), second.get_extent()
    assert below[0] == left
    assert below[3] > bottom > top
    rows = third.get_array().shape[0] * 6 // 10
    assert (third.get_array()[:rows] == 255).all()
    assert third.get_array()[rows:].min() < 255
    assert "no signal" in " ".join(text.get_text() for text in figure.axes[0].texts)


def test_nothing_to_draw_is_refused():
    with pytest.raises(ValueError, match="no exemplars to draw"):
        pair_rows({"a": []})
