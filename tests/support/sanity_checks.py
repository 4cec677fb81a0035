"""What the sanity checks are tried on: a small network, its images, and its gradients."""

import copy

import torch
from torch import nn
from torch.nn import functional as F

from deconvnet import DeconvNet, Preprocessing
from deconvnet.studies.randomised import Randomiser, stages_of, weights_below
from deconvnet.studies.sanity import sanity

SIDE = 24
PLAIN = Preprocessing((SIDE, SIDE), None, (0.0,) * 3, (1.0,) * 3)
IMAGES = torch.rand(
    4, 3, SIDE, SIDE, dtype=torch.double, generator=torch.Generator().manual_seed(0)
)


class Small(nn.Module):
    """Functions as rectifiers, a normalisation, and a pool."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one = nn.Conv2d(3, 8, 3)
        self.norm = nn.BatchNorm2d(8)
        self.two = nn.Conv2d(8, 8, 3)
        self.fc = nn.Linear(8 * 9 * 9, 5)
        self.norm.running_mean.normal_(0, 0.1)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.one(x))), 2)
        return self.fc(F.relu(self.two(x)).flatten(1))


def checked(model=None, images=IMAGES, **options):
    model = Small().double().eval() if model is None else model
    return sanity(model, images, **{"preprocessing": PLAIN, "progress": False, **options})


def drawn_anew(model, names, **how):
    """The model with other weights in these stages, as it is drawn."""
    other = copy.deepcopy(model)
    net = DeconvNet(other)
    randomiser = Randomiser(
        other, **{"init": "truncated_normal", "std": 0.01, "random_state": 0, **how}
    )
    for stage in stages_of(weights_below(net.graph, "fc"), 8):
        if stage.name in names:
            randomiser.draw(stage)
    return other


def slopes(model, target):
    pixels = IMAGES.clone().requires_grad_(True)
    scores = model(pixels)
    (slope,) = torch.autograd.grad(scores[range(len(target)), target].sum(), pixels)
    return slope.numpy()


class Held(Small):
    """The last layer works with a copy of its weights."""

    def __init__(self):
        super().__init__()
        self.held = self.fc.weight.detach().clone().double()

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.norm(self.one(x))), 2)
        return F.linear(F.relu(self.two(x)).flatten(1), self.held) + 0 * self.fc.bias
