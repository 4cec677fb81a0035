"""Policies, against the papers' numbers and slow re-implementations of their rules."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from deconvnet import DeconvNet
from deconvnet.layers import TABLE, Policies, Rectifier, rectifier
from deconvnet.layers.policies import RECTIFIERS, Gradient, RectGrad, _percentile
from tests.support.layer_laws import numbers, positive

# Springenberg et al. 2014, figure 1
f = torch.tensor([[1.0, -1, 5], [2, -5, -7], [-3, 2, 4]], dtype=torch.float64)
R = torch.tensor([[-2.0, 3, -1], [6, -3, 1], [2, -1, 3]], dtype=torch.float64)
GOLDEN = {
    "gradient": [[-2, 0, -1], [6, 0, 0], [0, -1, 3]],
    "deconvnet": [[0, 3, 0], [6, 0, 1], [2, 0, 3]],
    "guided": [[0, 0, 0], [6, 0, 0], [0, 0, 3]],
    "identity": R.tolist(),
}
NAMES = sorted(RECTIFIERS)


def below(policy, z, signal, function=F.relu):
    """The signal under one activation."""
    layer, inputs = TABLE[function](z)
    layer = layer.under(Policies(rectifier(policy)))
    return layer.mirror(signal, layer.record(*inputs)[1])[0]


def a_network(x, policy, *, weights=numbers):
    """conv, relu, pool, conv, relu: the last maps, and how a signal for them comes down."""
    policies = Policies(rectifier(policy))
    steps = []
    for function, *rest in (
        (F.conv2d, weights(4, 3, 3, 3, seed=1), None, 1, 1),
        (F.relu,),
        (F.max_pool2d, 3, 2),
        (F.conv2d, weights(5, 4, 3, 3, seed=2)),
        (F.relu,),
    ):
        layer, inputs = TABLE[function](x, *rest)
        layer = layer.under(policies)
        x, record = layer.record(*inputs)
        steps.append((layer, record))

    def descend(signal):
        passed = [signal]
        for layer, record in reversed(steps):
            passed.append(layer.mirror(passed[-1], record)[0])
        return passed

    return x, descend


@pytest.mark.parametrize("policy", sorted(GOLDEN))
def test_the_figure_of_springenberg(policy):
    assert below(policy, f[None, None], R[None, None])[0, 0].tolist() == GOLDEN[policy]


def test_the_figure_tells_the_policies_apart():
    """So that exchanging any two of them would be caught."""
    assert len({str(golden) for golden in GOLDEN.values()}) == len(GOLDEN)


def test_guided_is_the_gradient_of_what_deconvnet_lets_pass():
    z, signal = numbers(4, 3, 5, 5), numbers(4, 3, 5, 5, seed=1)
    guided = below("guided", z, signal)
    assert torch.equal(guided, below("gradient", z, signal.clamp(min=0)))
    assert torch.equal(guided, below("deconvnet", z, signal) * (z > 0))
    assert torch.equal(guided, below("deconvnet", z, below("gradient", z, signal)))


def test_identity_is_linear_and_the_others_are_not():
    z, one, other = (numbers(2, 3, 4, 4, seed=seed) for seed in range(3))
    for policy in NAMES:
        whole = below(policy, z, one + other)
        parts = below(policy, z, one) + below(policy, z, other)
        linear = policy in ("identity", "gradient")
        assert torch.allclose(whole, parts, atol=1e-12) == linear, policy


def test_deconvnet_does_not_look_at_the_image():
    signal = numbers(1, 2, 3, 3)
    one = below("deconvnet", numbers(1, 2, 3, 3, seed=1), signal)
    assert torch.equal(one, below("deconvnet", numbers(1, 2, 3, 3, seed=2), signal))
    for policy in ("gradient", "guided", "rectgrad(50)"):
        one = below(policy, numbers(1, 2, 3, 3, seed=1), signal)
        assert not torch.equal(one, below(policy, numbers(1, 2, 3, 3, seed=2), signal))


@pytest.mark.parametrize("policy", NAMES)
def test_a_stronger_seed_gives_the_same_map_but_stronger(policy):
    _, descend = a_network(numbers(2, 3, 11, 11), policy)
    seed = numbers(2, 5, 3, 3, seed=3).abs()
    assert torch.allclose(descend(4 * seed)[-1], 4 * descend(seed)[-1], rtol=1e-12, atol=0)
    # and a seed turned round does not simply give the map turned round, unless all is linear
    turned = torch.allclose(descend(-seed)[-1], -descend(seed)[-1])
    assert turned == (policy in ("gradient", "identity"))


def test_what_guided_lets_pass_passes_both_masks():
    z, signal = numbers(2, 3, 6, 6), numbers(2, 3, 6, 6, seed=1)
    passed = below("guided", z, signal) != 0
    assert torch.equal(passed, (z > 0) & (signal > 0))
    for other in ("gradient", "deconvnet"):
        assert (below(other, z, signal)[passed] != 0).all()
        assert (below(other, z, signal) != 0).sum() > passed.sum()


def test_with_positive_filters_no_signal_is_ever_clipped():
    """Then deconvnet is identity and guided is the gradient, and masks alone tell the pairs."""
    x, seed = numbers(2, 3, 11, 11), positive(2, 5, 3, 3)
    found = {name: a_network(x, name, weights=positive)[1](seed)[-1] for name in NAMES}
    assert torch.equal(found["deconvnet"], found["identity"])
    assert torch.equal(found["guided"], found["gradient"])
    assert not torch.allclose(found["deconvnet"], found["guided"])
    signed = {name: a_network(x, name)[1](seed)[-1] for name in NAMES}
    assert not torch.allclose(signed["deconvnet"], signed["identity"])
    assert not torch.allclose(signed["guided"], signed["gradient"])


@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_negative_values_arise_only_in_the_first_filters(policy):
    _, descend = a_network(numbers(2, 3, 11, 11), policy)
    *_, under_relu, pixels = descend(numbers(2, 5, 3, 3, seed=3))
    assert (under_relu >= 0).all()
    assert (pixels < 0).any()


def test_each_policy_remembers_no_more_than_it_needs():
    z = numbers(2, 3, 4, 4)
    kept = {}
    for policy in NAMES:
        layer = TABLE[F.relu](z)[0].under(Policies(rectifier(policy)))
        kept[policy] = layer.record(z)[1].kept
    assert kept["deconvnet"] is None
    assert kept["identity"] is None
    assert kept["gradient"].dtype == kept["guided"].dtype == torch.bool


def test_relu6_is_clipped_and_masked():
    z = torch.tensor([[-1.0, 3, 7]], dtype=torch.float64)
    signal = torch.tensor([[2.0, -2, 2]], dtype=torch.float64)
    assert below("gradient", z, signal, F.relu6).tolist() == [[0, -2, 0]]
    assert below("deconvnet", z, signal, F.relu6).tolist() == [[2, 0, 2]]
    assert below("guided", z, -signal, F.relu6).tolist() == [[0, 2, 0]]


def slow_rectgrad(z, signal, q):
    """Kim et al. 2019, sample by sample and place by place."""
    found = np.zeros_like(signal)
    for n in range(len(z)):
        a = np.maximum(z[n], 0)
        tau = np.percentile(a * signal[n], q)
        for place in np.ndindex(*a.shape):
            if a[place] * signal[n][place] > tau and z[n][place] > 0:
                found[n][place] = signal[n][place]
    return found


def agrees_with_slow_rectgrad(policy, q):
    z, signal = numbers(3, 4, 5, 6), numbers(3, 4, 5, 6, seed=1)
    signal = signal * torch.tensor([1.0, 10.0, 0.1]).view(3, 1, 1, 1)
    expected = slow_rectgrad(z.numpy(), signal.numpy(), q)
    return np.array_equal(below(policy, z, signal).numpy(), expected)


@pytest.mark.parametrize("q", [0.0, 30.0, 50.0, 90.0, 98.0, 99.5, 100.0])
def test_rectgrad(q):
    assert agrees_with_slow_rectgrad(RectGrad(q), q)


def test_rectgrad_over_the_whole_batch_would_be_caught():
    class WholeBatch(RectGrad):
        def signal(self, R, kept):
            a, slope = kept
            return R * (a * R > _percentile((a * R).reshape(1, -1), self.q)) * slope

    assert not agrees_with_slow_rectgrad(WholeBatch(90.0), 90.0)


def test_rectgrad_with_the_threshold_itself_would_be_caught():
    class NotStrict(RectGrad):
        def signal(self, R, kept):
            a, slope = kept
            tau = _percentile((a * R).flatten(1), self.q).view(-1, 1, 1, 1)
            return R * (a * R >= tau) * slope

    assert not agrees_with_slow_rectgrad(NotStrict(100.0), 100.0)


@pytest.mark.parametrize("length", [1, 2, 7, 101, 1000])
@pytest.mark.parametrize("q", [0, 1, 33.3, 50, 98, 99.9, 100])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_percentile(length, q, dtype):
    values = numbers(3, length).to(dtype)
    expected = np.percentile(values.double().numpy(), q, axis=1)
    near = 1e-12 if dtype == torch.float64 else 1e-6
    assert np.allclose(_percentile(values, q).numpy(), expected, rtol=near, atol=near)


def test_a_policy_of_ones_own_is_one_class():
    class Smooth(Rectifier):
        """``R · sigmoid(β z)`` (Dombrowski 2019)."""

        name = "smooth"

        def remember(self, z, a, activation):
            return torch.sigmoid(10 * z)

        def signal(self, R, kept):
            return R * kept

    z, signal = numbers(2, 3, 4, 4), numbers(2, 3, 4, 4, seed=1)
    assert torch.equal(below(Smooth(), z, signal), signal * torch.sigmoid(10 * z))
    _, descend = a_network(numbers(2, 3, 11, 11), Smooth())
    assert descend(numbers(2, 5, 3, 3))[-1].shape == (2, 3, 11, 11)


def test_policies_by_name():
    assert {rectifier(name).name for name in NAMES} == set(NAMES)
    assert rectifier("rectgrad").q == 98
    assert rectifier("rectgrad(95.5)").q == 95.5
    mine = RectGrad(3.0)
    assert rectifier(mine) is mine


@pytest.mark.parametrize("name", ["deconv", "", "guided(3)", "rectgrad()", "relu grad", None, 3])
def test_a_name_that_is_none_is_told_with_those_that_are(name):
    with pytest.raises(ValueError, match="no rectifier is called .*gradient, deconvnet, guided"):
        rectifier(name)


def test_arguments_that_cannot_be_are_refused():
    with pytest.raises(ValueError, match="percentile was 120"):
        rectifier("rectgrad(120)")
    with pytest.raises(ValueError, match="fallback was 'gradient'; use 'derivative' or"):
        Policies(rectifier("guided"), "gradient")
    with pytest.raises(ValueError, match="normalization was 'off'; use 'exact' or 'identity'"):
        Policies(rectifier("guided"), None, "off")


def test_the_identity_of_a_rule():
    assert str(rectifier("rectgrad")) == str(RectGrad(98)) == "rectgrad(98)"
    assert str(rectifier("rectgrad(97.5)")) == "rectgrad(97.5)"
    assert str(rectifier("rectgrad(1e-05)")) == "rectgrad(1e-05)"
    assert [str(rectifier(name)) for name in RECTIFIERS if name != "rectgrad"] == [
        name for name in RECTIFIERS if name != "rectgrad"
    ]
    assert all(str(rectifier(str(rectifier(name)))) == str(rectifier(name)) for name in RECTIFIERS)


class Soft(Gradient):
    name = "soft"

    def __init__(self, *parameters):
        self.parameters = parameters
        self._seen = 0  # a leading underscore: none of its parameters


class Scale:
    def __init__(self, by):
        self.by = by


def test_a_rule_of_ones_own_is_told_apart_by_its_parameters():
    parameters = [
        1, 2, 1.5, 0.1234567, 0.1234568, "a", None, True, [1, 2], {"a": 1}, {"a": 2}, torch.relu,
        torch.zeros(3), torch.ones(3), torch.ones(1, 3), np.zeros(2), np.ones(2),
        Scale(1), Scale(2), lambda x: x, torch.float64,
    ]  # fmt: skip
    told = [str(Soft(value)) for value in parameters]
    assert len(set(told)) == len(told), told
    assert told == [str(Soft(value)) for value in parameters]
    assert not any("0x" in one for one in told), told
    soft = Soft(2)
    soft._seen = 3
    assert str(soft) == "soft([2])"


def test_policies_are_one_value():
    plain, told = Policies.of("guided"), Policies.of("guided", "derivative", unpooling="centre")
    assert Policies.of(told) is told
    assert str(plain) == "guided"
    assert str(told) == "guided, fallback derivative, unpooling centre"
    net = DeconvNet(nn.Sequential(nn.Conv2d(3, 2, 3), nn.GELU()), told)
    assert net.policies is told
    with pytest.raises(ValueError, match="policies .guided, fallback .* beside them fallback='rec"):
        DeconvNet(nn.Identity(), told, fallback="rectify")


@pytest.mark.parametrize(("old", "new"), [("rules", "supports"), ("placewise", "pointwise")])
def test_names_of_older_versions_are_not_ignored_in_silence(old, new):
    with pytest.raises(TypeError, match=f"Mine.{old} is now called {new}; rename it"):
        type("Mine", (Rectifier,), {"name": "mine", old: True})
