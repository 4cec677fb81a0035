"""Weights that are made before every call are those that a call would use now."""

import pytest
import torch
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from deconvnet import DeconvNet
from tests.support.beside import IMAGES, right, small
from tests.support.reference import error

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")


def moved(model, generator=3):
    numbers = torch.Generator().manual_seed(generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn(parameter.shape, generator=numbers).to(parameter.dtype))


MADE = {
    "weight_norm": weight_norm,
    "spectral_norm": spectral_norm,
    "parametrized weight_norm": parametrizations.weight_norm,
    "parametrized spectral_norm": parametrizations.spectral_norm,
    "pruned": lambda m: prune.random_unstructured(m, "weight", amount=0.3),
}


@pytest.mark.parametrize("made", MADE)
def test_weights_made_by_a_hook(made):
    model = small()
    MADE[made](model[0])
    MADE[made](model[2][0])
    net = DeconvNet(model, "gradient")
    net.record(IMAGES)
    moved(model)
    model.eval()
    assert error(net.record(IMAGES)["3"], model(IMAGES).detach()) < 1e-10
    right(model, IMAGES)
    right(model, IMAGES, "2.0", policy="guided")
    state = {k: v * 1.5 for k, v in model.state_dict().items()}
    model.load_state_dict(state)
    right(model, IMAGES)


@pytest.mark.parametrize("made", MADE)
def test_weights_made_by_a_hook_in_another_precision(made):
    torch.manual_seed(0)
    model = small().float()
    MADE[made](model[0])
    right(model.double(), IMAGES)
