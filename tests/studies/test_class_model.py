"""Class models: the closed form of a linear score, and what stands beside."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import Preprocessing, class_model
from deconvnet.mining.mine import mine
from tests.support.mined import Pictures, pictures
from tests.support.studied import MODEL, PREPARED, WIDTH

SIZE = (5, 4)
OWN = Preprocessing(SIZE, None, (0.4, 0.5, 0.6), (0.5, 0.5, 0.5))
PENALTY, STEPS = 0.7, 200


class Scores(nn.Sequential):
    """Linear scores, and a softmax behind them."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__(nn.Flatten(), nn.Linear(3 * SIZE[0] * SIZE[1], 4), nn.Softmax(dim=1))


@pytest.fixture(scope="module")
def linear():
    model = Scores().double().eval()
    return model, class_model(
        model, [2, 0], penalty=PENALTY, steps=STEPS, preprocessing=OWN, classes=list("abcd")
    )


def optimum(model, target):
    return (model[1].weight[target] / (2 * PENALTY)).detach().reshape(3, *SIZE)


def test_of_a_linear_score_it_is_the_weights_by_twice_the_penalty(linear):
    model, result = linear
    for place, target in enumerate((2, 0)):
        best = optimum(model, target)
        np.testing.assert_allclose(result.images[place], best, rtol=1e-8)
        np.testing.assert_array_equal(result.pictures[place], OWN.picture(best))
        score = float(model[1](best.flatten())[target].detach())
        assert result.scores[-1, place] == pytest.approx(score, rel=1e-8)
        assert result.scores[0, place] == pytest.approx(float(model[1].bias[target].detach()))
    assert (result.layer, list(result.targets), result.names) == ("1", [2, 0], ["c", "a"])
    assert result.scores.shape == (STEPS + 1, 2)


def climbed(score, start):
    """The same ascent of any score from any image, written down plainly."""
    image = start.clone()
    for _ in range(STEPS):
        image.requires_grad_(True)
        (slope,) = torch.autograd.grad(score(image) - PENALTY * image.square().sum(), image)
        image = (image + 0.1 / (2 * PENALTY) * slope).detach()
    return image


def test_the_posterior_or_the_mean_first_would_be_caught(linear):
    """Planted wrong: the softmax is maximised; the ascent begins at the mean, which is kept."""
    model, result = linear
    zero = torch.zeros(3, *SIZE, dtype=torch.double)
    right = climbed(lambda x: model[1](x.flatten())[2], zero)
    np.testing.assert_allclose(result.images[0], right, rtol=1e-8, atol=1e-12)
    posterior = climbed(lambda x: model(x[None])[0, 2], zero)
    assert not np.allclose(result.images[0], posterior, rtol=0.1)
    mean = (torch.tensor(OWN.mean) / torch.tensor(OWN.std))[:, None, None].double()
    on_mean = result.pictures[0] - np.asarray(OWN.mean, dtype="f4")
    first = climbed(lambda x: model[1](x.flatten())[2], zero + mean)  # forgets its start: no mean
    assert not np.allclose(OWN.std[0] * first.permute(1, 2, 0).numpy(), result.pictures[0])
    assert np.abs(on_mean - OWN.std[0] * right.permute(1, 2, 0).numpy()).max() < 1e-6


def test_a_trained_net_rises_and_the_penalty_follows_from_the_zero_image():
    result = class_model(MODEL, 1, steps=12, preprocessing=PREPARED)
    assert result.scores[-1, 0] > result.scores[0, 0]
    zero = torch.zeros(1, 3, *PREPARED.size, requires_grad=True)
    (slope,) = torch.autograd.grad(MODEL(zero)[0, 1], zero)
    assert result.penalty[0] == pytest.approx(float(slope.square().mean().sqrt()) / 0.4, rel=1e-4)
    assert result.table()[0]["target"] == 1


def test_natural_images_of_the_highest_scores_stand_beside(tmp_path):
    images = pictures(nan=False)
    options = dict(steps=2, preprocessing=PREPARED)
    result = class_model(MODEL, [0, 2], images=images, **options)
    scores = MODEL(images).detach()
    for place, target in enumerate((0, 2)):
        best = scores[:, target].argsort(descending=True, stable=True)[:3]
        shown = [score for _, score in result.natural[place]]
        np.testing.assert_allclose(shown, scores[best, target], rtol=1e-5)
        np.testing.assert_array_equal(
            result.natural[place][0][0], PREPARED.picture(images[best[0]])
        )
    figure = result.figure(width=WIDTH, caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert words.count("natural") == 6
    assert words.count("model of class") == 2
    data = Pictures(images)
    store = mine(MODEL, data, tmp_path / "top.h5", ["fc2"], 4, 4)
    stored = class_model(MODEL, 0, store=store, data=data, **options)
    kept = [score for _, score in stored.natural[0]]
    np.testing.assert_allclose(kept, sorted(scores[:, 0].tolist())[::-1][: len(kept)], rtol=1e-5)


def test_bad_input_is_told():
    options = dict(preprocessing=PREPARED)
    for changed in (dict(steps=0), dict(rate=0.0), dict(rate=2), dict(penalty=-1.0)):
        with pytest.raises(ValueError, match="expected at least one step, 0 < rate <= 1"):
            class_model(MODEL, 0, **changed, **options)
    with pytest.raises(IndexError, match="target=3 was given"):
        class_model(MODEL, [0, 3], **options)
    with pytest.raises(ValueError, match="no preprocessing is known"):
        class_model(MODEL, 0)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    with pytest.raises(ValueError, match="expected one score a class"):
        class_model(trunk, 0, **options)
    flat = Scores()
    nn.init.zeros_(flat[1].weight)
    with pytest.raises(ValueError, match="1:2 does not change around the zero image"):
        class_model(flat, 2, preprocessing=OWN)
