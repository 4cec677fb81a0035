"""Sanity checks: curves against autograd and SciPy, controls, planted faults, and figures."""

import numpy as np
import pytest
import torch
from scipy.stats import spearmanr
from torch import nn

import deconvnet as dn
from deconvnet import Unit
from deconvnet.figures import read_provenance
from deconvnet.studies.compare import compare
from deconvnet.studies.sanity import MEANING
from tests.support.sanity_checks import (
    IMAGES,
    PLAIN,
    SIDE,
    Held,
    Small,
    checked,
    drawn_anew,
    slopes,
)


@pytest.fixture(scope="module")
def shown():
    return checked(shown=2)


@pytest.mark.parametrize("order", ["top-down", "bottom-up", "independent"])
def test_curves_are_those_of_gradients_by_autograd(order):
    model = Small().double().eval()
    result = checked(model, order=order, rectifiers="gradient")
    best = model(IMAGES).argmax(1).tolist()
    assert [unit.channel for unit in result.units] == best
    up = ["one", "two", "fc"]
    assert list(result.stages) == (up if order == "bottom-up" else up[::-1])
    trained = slopes(model, best)
    for number, stage in enumerate(result.stages):
        names = {stage} if order == "independent" else set(result.stages[: number + 1])
        made = slopes(drawn_anew(model, names), best)
        for image in range(len(IMAGES)):
            signed = [one[image].sum(0).ravel() for one in (trained, made)]
            absolute = [np.abs(one[image]).sum(0).ravel() for one in (trained, made)]
            for measure, pair in (("spearman", signed), ("absolute spearman", absolute)):
                value = result.similarity[measure]["gradient"][number, image]
                assert value == pytest.approx(spearmanr(*pair)[0], abs=1e-12), (stage, image)
    every = slopes(drawn_anew(model, set(up)), best)
    counts = np.histogram(every[0].sum(0), 100)[0] / every[0][0].size
    entropy = -sum(share * np.log(share) for share in counts if share)
    assert result.entropy["gradient"][1, 0] == pytest.approx(entropy, abs=1e-12)


def test_the_trained_net_is_in_no_mean(shown):
    """Planted wrong: Quantus averages the similarity of the trained net to itself, 1, too."""
    row = shown.similarity["spearman"]["noise"]
    assert row.shape == (len(shown.stages), len(IMAGES))
    quantus = np.r_[np.ones((1, len(IMAGES))), row].mean()
    assert abs(row.mean()) < 0.05 < quantus
    assert len(shown.table()) == len(shown.stages) * 6


def test_edges_stay_and_noise_passes(shown):
    for measure in shown.similarity:
        assert shown.curve(measure, "edges")[0].min() == 1
        assert np.abs(shown.curve(measure, "noise")[0]).max() < 0.25
    assert np.isnan(shown.curve("spearman", "constant")).all()
    assert shown.curve("ssim", "constant")[0].tolist() == [1] * len(shown.stages)
    assert (shown.complexity["edges"] == 0).all()


def test_guided_maps_of_functions_are_not_the_gradient(shown):
    """Planted wrong: tools that act on modules alone call the gradient of F.relu "guided"."""
    gradient, guided = (shown.curve("spearman", row)[0] for row in ("gradient", "guided"))
    assert np.abs(gradient - guided).min() > 0.05
    assert not np.allclose(shown.maps["gradient"][0], shown.maps["guided"][0])


def linear(middle):
    """A net without rectifiers, and with this matrix in the middle."""
    torch.manual_seed(0)
    n = middle.shape[0]
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(3 * SIDE**2, n, bias=False), nn.Linear(n, n, bias=False),
        nn.Linear(n, n, bias=False),
    ).double()  # fmt: skip
    nn.init.orthogonal_(model[1].weight)
    nn.init.orthogonal_(model[3].weight)
    model[2].weight.data = torch.as_tensor(middle)
    return model.eval()


def test_convergence_is_1_after_a_rank_1_layer_and_unchanged_after_an_orthogonal_one():
    drawn = np.random.default_rng(0)
    turned, _ = np.linalg.qr(drawn.standard_normal((20, 20)))
    made = checked(linear(turned), rectifiers="gradient")
    assert list(made.places) == ["3", "2", "1"]
    values = made.convergence["gradient"]
    np.testing.assert_allclose(values, values[:1].repeat(3, 0), rtol=1e-10)
    assert values.max() < 0.6
    flat = checked(linear(np.outer(*drawn.standard_normal((2, 20)))), rectifiers="gradient")
    np.testing.assert_allclose(flat.convergence["gradient"][1:], 1, rtol=1e-10)
    assert flat.convergence["gradient"][0].max() < 0.6


def test_random_logit_is_of_another_class(shown):
    model = linear(np.outer(*np.random.default_rng(0).standard_normal((2, 20))))
    same = checked(model, rectifiers="gradient").logit["gradient"]
    np.testing.assert_allclose(same, 1, rtol=1e-6)  # all classes have one map, up to the sign
    assert shown.logit["gradient"].max() < 0.9
    assert (shown.logit["edges"] == 1).all()
    alone = checked(nn.Sequential(nn.Conv2d(3, 1, 3), nn.ReLU()).double(), target=Unit("0", 0))
    assert np.isnan(alone.logit["gradient"]).all()


def test_its_figure_table_and_provenance(shown, tmp_path):
    how = read_provenance(shown.save(tmp_path / "one.pdf", caption=True))
    assert (how["study"], how["order"], how["stages"]) == ("Sanity", "top-down", "fc, two, one")
    assert MEANING in shown.caption
    row = shown.table()[0]
    assert (row["stage"], row["rectifier"]) == ("fc", "gradient")
    assert row["spearman_low"] < row["spearman"] < row["spearman_high"]
    names = [row["rectifier"] for row in shown.scores()]
    assert names == ["gradient", "deconvnet", "guided", "edges", "noise", "constant"]
    assert len(repr(shown).splitlines()) == 5
    assert len(repr(shown)) <= 600


def test_other_figures_carry_a_line_of_it(shown):
    model = Small().double().eval()
    made = compare(
        model, IMAGES[:1], rectifiers=("guided", "gradient"), preprocessing=PLAIN, sanity=shown
    )
    end = shown.similarity["spearman"]["guided"][-1].mean()
    assert f"guided spearman {end:.2f}, absolute spearman" in made.sanity
    assert "(3 stages top-down, 4 images, the likeliest class" in made.sanity
    words = " ".join(text.get_text() for text in made.figure().axes[0].texts)
    assert f"guided spearman {end:.2f}" in words, "with no caption asked for, too"
    assert made._made()["sanity"] == made.sanity
    with pytest.raises(KeyError, match="'identity' was not checked"):
        compare(model, IMAGES[:1], rectifiers="identity", preprocessing=PLAIN, sanity=shown)
    with pytest.raises(TypeError, match=r"expected the result of deconvnet\.sanity"):
        compare(model, IMAGES[:1], preprocessing=PLAIN, sanity=0.5)
    with pytest.raises(ValueError, match="the sanity check is of Small, the figure of Held"):
        compare(Held().double().eval(), IMAGES[:1], preprocessing=PLAIN, sanity=shown)


def test_exemplars_carry_it_too(shown, tmp_path):
    model = Small().double().eval()
    store = dn.mine(model, IMAGES, tmp_path / "top.h5", ["two"], 2, preprocessing=PLAIN)
    made = dn.exemplars(store, "two", [0, 1], rectifier="guided", sanity=shown, progress=False)
    assert made.sanity == shown.line("guided")
    words = " ".join(text.get_text() for text in made.figure().axes[0].texts)
    assert "Similarity to maps of random weights" in words


BAD = {
    "order='downward'": {"order": "downward"},
    "init='zeros'": {"init": "zeros"},
    "shown=0": {"shown": 0},
    "noisy=-1": {"noisy": -1},
    "rectifiers=": {"rectifiers": []},
    "expected 'class', 'likeliest'": {"target": None},
    "targets of images: 2 given, expected 4": {"target": [0, 1]},
    "target=7 was given; the classes of fc are 0 to 4": {"target": 7},
    "no layer is called 'conv9'": {"target": Unit("conv9", 0)},
    "two has no channel 99": {"target": Unit("two", 99)},
    "units of 2 layers": {"target": [Unit("one", 0), Unit("two", 0)] * 2},
    "units and classes were given": {"target": [Unit("one", 0), 1] * 2},
    "which is none of the class names": {"target": "zebra"},
    "is called 'three'": {"stages": ["three"]},
}


@pytest.mark.parametrize("said", BAD)
def test_bad_input_is_told_before_the_work(said, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.sanity_run.Measured.take", None)
    with pytest.raises((ValueError, TypeError, LookupError)) as told:
        checked(images=IMAGES, **BAD[said])
    assert said in str(told.value)
