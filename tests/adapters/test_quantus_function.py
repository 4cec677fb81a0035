"""Quantus' explain_func: its contract, its values, and Quantus itself where it is installed."""

import inspect

import numpy as np
import pytest
import torch

from deconvnet.adapters.quantus_function import quantus_explain
from deconvnet.layers import Policies, UnmirroredError
from tests.support.adapted import Functions, Modules, classes, expected, images, seeded
from tests.support.reference import error

RULES = ("gradient", "deconvnet", "guided")
TARGETS = [3, 0, 4]


@pytest.fixture(scope="module")
def quantus():
    return pytest.importorskip(
        "quantus",
        reason='quantus is not installed: pip install -e ".[bench]"',
        exc_type=ImportError,
    )


@pytest.mark.parametrize("kind", [Modules, Functions])
@pytest.mark.parametrize("rule", RULES)
def test_maps_of_each_images_class(kind, rule):
    model, given = seeded(kind), images()
    maps = quantus_explain(rule)(model=model, inputs=given.numpy(), targets=np.array(TARGETS))
    assert type(maps) is np.ndarray
    assert maps.shape == given.shape
    right = expected(model, given, rule, classes(TARGETS))
    assert error(torch.from_numpy(maps), right) < 1e-10


def test_the_forms_that_quantus_hands_over():
    model, given = seeded(Modules).float(), images().float().numpy()
    explain = quantus_explain("guided")
    maps = explain(model=model, inputs=given, targets=np.array(TARGETS), device="cpu")
    assert maps.dtype == np.float32
    wide = explain(model, given.astype(np.float64), np.array(TARGETS, np.int32))  # a wider type
    np.testing.assert_array_equal(wide, maps)
    one = explain(model, given, 3)  # one class for all
    np.testing.assert_array_equal(one, explain(model, given, [3, 3, 3]))
    assert np.abs(one[1:] - maps[1:]).max() > 0


def stale(explain):
    """The tempting fault: maps are remembered, though the weights have changed since."""
    known = []

    def cached(model, inputs, targets, device=None):
        known.append(explain(model, inputs, targets))
        return known[0]

    return cached


def test_the_same_module_with_other_weights_has_another_map():
    explain = quantus_explain("deconvnet")
    assert follows_weights(explain)
    assert not follows_weights(stale(explain))


def follows_weights(explain):
    model, given = seeded(Modules), images()
    for layer in (model.fc2, model.conv1):
        explain(model, given.numpy(), np.array(TARGETS))
        layer.reset_parameters()
    maps = torch.from_numpy(explain(model, given.numpy(), np.array(TARGETS)))
    return error(maps, expected(model, given, "deconvnet", classes(TARGETS))) < 1e-10


def test_bad_targets_are_told():
    model, given, explain = seeded(Modules), images().numpy(), quantus_explain()
    for targets, said in [
        ([1, 2], r"shape \(2,\) were given for scores of shape \(3, 5\)"),
        ([0.5, 1, 2], "float64"),
        ([0, 1, 5], "reach from 0 to 5; the classes are 0 to 4"),
        ([0, 1, -1], "reach from -1 to 1"),
    ]:
        with pytest.raises(ValueError, match=said):
            explain(model, given, np.array(targets))
    with pytest.raises(ValueError, match="no rectifier is called 'deconv'"):
        quantus_explain("deconv")


def test_a_rule_is_never_replaced_in_silence():
    model, given = seeded(Modules), images().numpy()
    model.relu2 = torch.nn.GELU()
    with pytest.raises(UnmirroredError, match="GELU"):
        quantus_explain("guided")(model, given, np.array(TARGETS))
    explain = quantus_explain(Policies.of("guided", "derivative"))
    assert explain(model, given, np.array(TARGETS)).any()


def test_quantus_takes_it(quantus):
    """Its own checks of maps pass, and its test of randomised parameters sees them change."""
    model, given = seeded(Modules).float(), images().float().numpy()
    explain, targets = quantus_explain("guided"), np.array(TARGETS)
    assert {"model", "inputs", "targets"} <= set(inspect.signature(explain).parameters)
    quantus.helpers.asserts.assert_attributions(given, explain(model, given, targets))
    metric = quantus.MPRT(disable_warnings=True)
    scores = metric(model, given, targets, explain_func=explain, device="cpu")
    assert list(scores) == ["original", "fc2", "fc1", "conv2", "conv1"]
    np.testing.assert_allclose(scores["original"], 1)
    assert np.max(scores["conv1"]) < 0.9
    kept = quantus.MPRT(disable_warnings=True)(
        model, given, targets, explain_func=stale(explain), device="cpu"
    )
    assert np.min(kept["conv1"]) > 0.99  # the planted map that does not follow the weights
