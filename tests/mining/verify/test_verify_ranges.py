"""Lowest, sample and ranks by the mean are verified too: what is wrong in them is told."""

from dataclasses import replace

import numpy as np
import pytest

from deconvnet.mining.mine import mine
from deconvnet.mining.verify.verify import verify
from tests.support.mined import Pictures, Ties, pictures

SIZES = {"k": 3, "lowest": 4, "sample": 5, "random_state": 2, "batch_size": 4}


@pytest.fixture(scope="module")
def data():
    return Pictures(pictures(13), broken=(4,))


@pytest.fixture(scope="module", params=["max", "mean"])
def store(request, data, tmp_path_factory):
    path = tmp_path_factory.mktemp("verified") / "a.h5"
    with pytest.warns(UserWarning, match="were NaN"):
        return mine(Ties(quantised=False).eval(), data, path, rank=request.param, **SIZES)


def verified(store, data, n=None, **options):
    return verify(store, Ties(quantised=False).eval(), data, n=n, tolerance=0.0, **options)


def changed(store, layer, **tables):
    """The store with other tables of one layer; nothing is written."""
    return replace(store, layers={**store.layers, layer: replace(store[layer], **tables)})


def kinds(store, data, n=None):
    return {mismatch.kind for mismatch in verified(store, data, n).mismatches}


@pytest.mark.parametrize("n", [None, 40])
def test_a_true_store_is_equal_to_the_last_bit(store, data, n):
    result = verified(store, data, n)
    assert result.mismatches == ()
    assert result.equal == result.checked
    tables = [each for table in store.values() for each in table.tables.values()]
    assert result.checked == (n or sum(int((each.images >= 0).sum()) for each in tables))


def test_a_lowest_activation_that_is_another(store, data):
    low = store["conv2"].lowest
    activation = low.activation.copy()
    activation[1, 0] -= 0.5
    wrong = changed(store, "conv2", lowest=replace(low, activation=activation))
    assert "activation" in kinds(wrong, data)


def test_a_lowest_image_that_is_left_out(store, data):
    low = store["conv2"].lowest
    later = {
        name: np.concatenate([column[:, 1:], np.full_like(column[:, :1], empty)], axis=1)
        for name, empty in (("activation", np.nan), ("image", -1), ("row", -1), ("col", -1))
        for column in [getattr(low, name)]
    }
    box = np.concatenate([low.box[:, 1:], np.full_like(low.box[:, :1], -1)], axis=1)
    peak = low.peak
    if peak is not None:
        peak = np.concatenate([peak[:, 1:], np.full_like(peak[:, :1], np.nan)], axis=1)
    lost = replace(low, **later, box=box, peak=peak, ties=np.zeros_like(low.ties))
    assert kinds(changed(store, "conv2", lowest=lost), data) == {"missing"}


def test_lowest_of_the_rectified_layer(store, data):
    wrong = changed(store, "relu1", lowest=replace(store["relu1"].lowest, of="relu1"))
    assert "layer" in kinds(wrong, data)


def test_a_position_and_a_box_that_are_others(store, data):
    for kind in ("lowest", "sample"):
        table = getattr(store["conv1"], kind)
        row = table.row.copy()
        row[2, 0] = (row[2, 0] + 1) % 9
        found = kinds(changed(store, "conv1", **{kind: replace(table, row=row)}), data)
        assert found & {"position", "box"}, kind


def test_a_sample_of_other_images(store, data):
    layers = {}
    for name, table in store.items():
        image = table.sample.image.copy()
        image[[1, 2]] = image[[2, 1]]  # 2 and 12; 9 is the same picture as 2
        layers[name] = replace(table, sample=replace(table.sample, image=image))
    wrong = replace(store, layers=layers)
    assert {"sample", "activation"} <= kinds(wrong, data)


def test_a_sampled_activation_that_is_left_out(store, data):
    sample = store["fc1"].sample
    parts = {name: getattr(sample, name).copy() for name in ("activation", "row", "col", "box")}
    for name, column in parts.items():
        column[0, 0] = np.nan if name == "activation" else -1
    peak = sample.peak
    if peak is not None:
        peak = peak.copy()
        peak[0, 0] = np.nan
    wrong = changed(store, "fc1", sample=replace(sample, **parts, peak=peak))
    assert kinds(wrong, data) == {"missing"}


def test_a_peak_that_is_another(store, data):
    table = store["conv2"]
    if table.peak is None:
        pytest.skip("the maximum is its own peak")
    peak = table.peak.copy()
    peak[1, 0] += 1
    found = verified(changed(store, "conv2", peak=peak), data).mismatches
    assert any("has its peak at" in each.what for each in found)


@pytest.mark.parametrize("kind", ["strongest", "lowest"])
@pytest.mark.parametrize("n", [None, 400])
@pytest.mark.parametrize("off", [1, -1])
def test_ties_that_were_not_counted(store, data, kind, n, off):
    """All images are run for so many entries: one tie more or less is told."""
    name, channel = "relu1", 0  # dead: all other images tie
    table = store[name].tables[kind]
    ties = table.ties.copy()
    assert ties[channel] > 1
    ties[channel] += off
    wrong = {"ties": ties} if kind == "strongest" else {"lowest": replace(table, ties=ties)}
    result = verified(changed(store, name, **wrong), data, n)
    assert {each.kind for each in result.mismatches} == {"ties"}
    assert f"store says {ties[channel]}" in result.mismatches[-1].what or off == 1


def test_too_few_ties_are_told_by_some_images(tmp_path):
    model, data = Ties(quantised=False).eval(), Pictures(pictures(60, nan=False))
    store = mine(model, data, tmp_path / "a.h5", ["relu1"], k=3, batch_size=4)
    wrong = changed(store, "relu1", ties=np.zeros_like(store["relu1"].ties))
    assert verified(store, data, n=3).images < 60
    assert verified(store, data, n=3).passed
    found = verified(wrong, data, n=3).mismatches
    assert any(each.kind == "ties" and "at least" in each.what for each in found)


def test_ties_are_allowed_for_where_last_bits_differ(store, data):
    """As on another machine: those near the last entry may or may not have tied."""
    table = store["conv2"]
    scale = np.float32(1 + 1e-6)
    other = {"activation": table.activation * scale}
    if table.peak is not None:
        other["peak"] = table.peak * scale
    ties = table.ties.copy()
    ties[1:] = 0  # channel 0 is dead, and its ties stay
    near = changed(store, "conv2", **other, ties=ties)
    model = Ties(quantised=False).eval()
    assert "ties" not in {each.kind for each in verify(near, model, data, n=None).mismatches}
