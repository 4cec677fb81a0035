"""A net or a model, and images as a user has them."""

import numpy as np
import torch
from torch import nn

from deconvnet import DeconvNet
from deconvnet.studies.given import images_of, net_of
from tests.support.studied import IMAGES, MODEL, NAMES, PREPARED


def test_a_net_keeps_its_rule_unless_told_and_a_model_becomes_one():
    net = DeconvNet(MODEL, "guided", fallback="derivative")
    assert net_of(net) is net
    assert str(net_of(net, "gradient").policies.rectifier) == "gradient"
    assert net_of(net, "gradient").policies.fallback == "derivative"
    assert str(net_of(MODEL).policies.rectifier) == "deconvnet"
    assert str(net_of(MODEL, "guided").policies.rectifier) == "guided"


def test_images_of_a_net():
    given = images_of(IMAGES, net_of(MODEL), preprocessing=PREPARED, names=NAMES)
    assert given.tensor is IMAGES
    assert given.names == NAMES
    np.testing.assert_array_equal(given.pictures[1], PREPARED.picture(IMAGES[1]))
    signal = torch.rand(1, 40)
    assert images_of(signal, net_of(nn.Conv1d(1, 2, 3))).tensor.shape == (1, 1, 40)
