"""The LeNet of the sanity study: its twin, its maps, and what Quantus is asked."""

import numpy as np
import pytest
import torch

from deconvnet.adapters import quantus_explain
from scripts.sanity import lenet
from tests.support.reference import EveryRelu


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return lenet.LeNet().eval()


@pytest.fixture(scope="module")
def digits():
    images = torch.rand(3, 1, 28, 28, generator=torch.Generator().manual_seed(1))
    return images, torch.tensor([3, 1, 4])


@pytest.fixture
def quantus():
    why = 'not installed: pip install -e ".[bench]"'
    pytest.importorskip("zennit", reason=f"zennit is {why}")
    return pytest.importorskip("quantus", reason=f"quantus is {why}")


def test_the_twin_is_the_same_function_of_copies(model, digits):
    twin = lenet.of_modules(model)
    assert torch.equal(twin(digits[0]), model(digits[0]))
    assert len(twin.relus) == 4
    twin.fc3.reset_parameters()
    assert not torch.equal(twin(digits[0]), model(digits[0]))


@pytest.mark.parametrize("rule", lenet.RULES)
def test_right_maps_of_the_net_that_calls_functions(model, digits, rule):
    """Held against autograd with the papers' rules; the gradient is caught under another name."""
    images, classes = digits
    right = {}
    for name in (rule, "gradient"):
        leaf = images.clone().requires_grad_()
        with EveryRelu(name):
            scores = model(leaf)
        (maps,) = torch.autograd.grad(scores.gather(1, classes[:, None]).sum(), leaf)
        right[name] = maps.numpy()
    maps = lenet.maps_of(model, digits, quantus_explain(rule))
    assert lenet.error(maps, right[rule]) < 1e-5
    if rule != "gradient":
        assert lenet.error(right["gradient"], right[rule]) > 0.1


def test_zennit_finds_no_rectifier_and_says_nothing(model, digits, quantus):
    every = lenet.explainers()
    gradient = lenet.maps_of(model, digits, quantus_explain("gradient"))
    for rule in ("guided", "deconvnet"):
        theirs = lenet.maps_of(model, digits, every["Quantus with zennit", rule])
        assert lenet.error(theirs, gradient) < 1e-5
        of_modules = lenet.maps_of(
            lenet.of_modules(model), digits, every["Quantus with zennit", rule]
        )
        assert lenet.error(of_modules, lenet.maps_of(model, digits, quantus_explain(rule))) < 1e-5


def test_what_quantus_says(model, digits, quantus):
    """Maps that follow no weights keep a correlation of 1, fresh noise has none."""

    def edges(model, inputs, targets):
        return np.abs(np.diff(inputs, axis=3, append=0))

    drawn = np.random.default_rng(0)

    def noise(model, inputs, targets):
        return drawn.standard_normal(inputs.shape)

    mean, last, rise = lenet.scores(model, digits, edges)
    assert (mean, last, rise) == pytest.approx((1, 1, 0))
    mean, last, _ = lenet.scores(model, digits, noise)
    assert max(abs(mean), abs(last)) < 0.1


def test_digits_are_kept_apart():
    pytest.importorskip(
        "sklearn", reason='scikit-learn is not installed: pip install -e ".[bench]"'
    )
    digits = lenet.Digits.load()
    images, classes = digits.unseen(5)
    assert images.shape == (5, 1, 28, 28)
    assert float(images.min()) >= 0
    assert float(images.max()) <= 1
    assert torch.equal(classes, digits.classes[lenet.TRAINED_ON :][:5])
    assert len(digits.unseen(10**6)[0]) == 397
    model, accuracy = lenet.trained(digits, 0, epochs=1)
    with torch.no_grad():
        right = (model(digits.unseen(397)[0]).argmax(1) == digits.unseen(397)[1]).float().mean()
    assert accuracy == pytest.approx(float(right))
    assert accuracy > 0.2  # after one of 15 rounds
