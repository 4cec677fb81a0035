"""Two models of other values have other fingerprints, also where all their weights are equal."""

import subprocess
import sys
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import prune
from torchvision.ops import StochasticDepth
from torchvision.transforms import InterpolationMode

from deconvnet.mining import fingerprint
from tests.support.fingerprinted import now, of, then
from tests.support.mined import Pictures, Ties, pictures

ROOT = Path(__file__).parents[2]


class By(nn.Module):
    """A convolution, and then whatever is done to its maps."""

    def __init__(self, *, function, **options):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3, **options)
        self.function = function

    def forward(self, x):
        return self.function(self.conv(x))


class Counting(nn.Module):
    """Only torch.export follows it."""

    def __init__(self, slope=0.1):
        super().__init__()
        self.conv, self.slope = nn.Conv2d(3, 8, 3), slope

    def forward(self, x):
        x = self.conv(x)
        return F.leaky_relu(x, self.slope) if x.sum(0).shape[1] > 2 else x


class Kept(nn.Module):
    """Keeps a tensor where no state dict has it."""

    def __init__(self, value, *, buffer):
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 3)
        if buffer:
            self.register_buffer("scale", torch.tensor(value), persistent=False)
        else:
            self.scale = torch.tensor(value)

    def forward(self, x):
        return self.conv(x) * self.scale


class Made(nn.Module):
    """Makes a constant itself."""

    def __init__(self, value):
        super().__init__()
        self.conv, self.value = nn.Conv2d(3, 8, 3), value

    def forward(self, x):
        return self.conv(x) + torch.tensor([self.value])


class Resized(StochasticDepth):
    """A leaf with an option that is no number."""

    def __init__(self, mode):
        super().__init__(0.1, "row")
        self.mode = mode


APART = {
    "convolution": [
        By(function=F.relu, **options)
        for options in (
            {},
            {"stride": 2},
            {"padding": 1},
            {"padding": 1, "padding_mode": "reflect"},
            {"dilation": 2},
        )
    ],
    "activation": [
        then(module)
        for module in (
            nn.ReLU(),
            nn.ReLU6(),
            nn.LeakyReLU(0.1),
            nn.LeakyReLU(0.3),
            nn.GELU(),
            nn.GELU(approximate="tanh"),
        )
    ],
    "pooling": [
        then(module)
        for module in (
            nn.MaxPool2d(2),
            nn.MaxPool2d(3, 2),
            nn.MaxPool2d(3, 2, ceil_mode=True),
            nn.AvgPool2d(2, padding=1),
            nn.AvgPool2d(2, padding=1, count_include_pad=False),
        )
    ],
    "normalization": [then(nn.BatchNorm2d(8, eps=eps)) for eps in (1e-5, 1e-3)],
    "groups": [then(nn.GroupNorm(groups, 8)) for groups in (2, 4)],
    "function": [
        By(function=function)
        for function in (
            F.relu,
            lambda x: F.leaky_relu(x, 0.1),
            lambda x: F.leaky_relu(x, 0.2),
            lambda x: F.max_pool2d(x, 2),
            lambda x: F.max_pool2d(x, 3, stride=2),
            lambda x: x * 2,
            lambda x: x * 2.0000001,
            lambda x: x[:, :4],
            lambda x: x[:, 4:],
            lambda x: x - F.relu(x),
            lambda x: F.relu(x) - x,
        )
    ],
    "partial": [then(Resized(partial(F.leaky_relu, negative_slope=slope))) for slope in (0.1, 0.9)],
    "buffer": [Kept(value, buffer=True) for value in (2.0, 3.0)],
    "tensor": [Kept(value, buffer=False) for value in (2.0, 3.0)],
    "made": [Made(2.0), Made(3.0)],
    "exported": [Counting(0.1), Counting(0.2)],
    "leaf": [then(Resized(mode)) for mode in (InterpolationMode.BILINEAR, InterpolationMode.BOX)],
}


@pytest.mark.parametrize("models", APART.values(), ids=list(APART))
def test_the_same_weights_in_another_model(models):
    found = [of(model) for model in models]
    for one, other in combinations(range(len(found)), 2):
        assert found[one] != found[other], f"{models[one]} and {models[other]}"


def test_a_weight_a_buffer_and_a_type():
    found = [of(then()), of(then().double())]
    for tensor in ("0.weight", "1.running_mean"):
        model = then(nn.BatchNorm2d(8))
        found.append(of(model))
        with torch.no_grad():
            model.state_dict()[tensor].view(-1)[5] += 1e-6
        found.append(now(model))
    assert len(set(found)) == len(found) - 1, "the untouched one stands there twice"


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (then(nn.ReLU(), nn.Dropout()), then(nn.ReLU(inplace=True), nn.Dropout())),
        (then(nn.BatchNorm2d(8)).train(), then(nn.BatchNorm2d(8)).eval()),
        (Counting().requires_grad_(False), Counting()),
        (By(function=F.relu, padding_mode="zeros", groups=1), By(function=F.relu)),
        (Kept(2.0, buffer=True), Kept(2.0, buffer=False)),
    ],
)
def test_the_same_values(one, other):
    assert of(one) == of(other)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
@pytest.mark.parametrize(
    "changed",
    [
        lambda conv: torch.nn.utils.weight_norm(conv),
        lambda conv: torch.nn.utils.spectral_norm(conv),
        lambda conv: torch.nn.utils.parametrizations.weight_norm(conv),
        lambda conv: prune.l1_unstructured(conv, "weight", amount=0.3),
    ],
)
def test_a_weight_that_is_made_anew_in_each_call(changed):
    torch.manual_seed(0)
    model = nn.Sequential(changed(nn.Conv2d(3, 8, 3)), nn.ReLU()).eval()
    loaded = nn.Sequential(changed(nn.Conv2d(3, 8, 3)), nn.ReLU()).eval()
    loaded.load_state_dict(model.state_dict())
    model(torch.randn(1, 3, 16, 16))
    found = [now(one) for one in (model, loaded)]
    assert found[0] == found[1]


def test_an_option_at_its_default_is_not_written_down():
    """A later torch gives its modules one more."""
    earlier, later = earlier_and_later()
    assert of(then(earlier())) == of(then(later())) == of(then(later(exact=False)))
    assert of(then(earlier())) != of(then(later(exact=True)))
    assert of(then(earlier())) != of(then(earlier(kind="mean")))


def earlier_and_later():
    """A leaf of two versions of its package."""

    class Leaf(StochasticDepth):
        def __init__(self, kind="sum"):
            super().__init__(0.1, "row")
            self.kind = kind

    first = Leaf

    class Leaf(StochasticDepth):
        def __init__(self, kind="sum", exact=False):
            super().__init__(0.1, "row")
            self.kind, self.exact = kind, exact

    return first, Leaf


def test_another_process_finds_the_same():
    code = (
        "from tests.mining.test_fingerprint import APART, Ties, of; "
        "print(of(Ties()), of(APART['function'][7]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.split() == [of(Ties()), of(APART["function"][7])]


def test_data_sets():
    found = [
        fingerprint.of_dataset(Pictures(images))
        for images in (
            pictures(nan=False),
            pictures(nan=False),
            pictures(seed=1, nan=False),
            pictures(count=12, nan=False),
        )
    ]
    assert (found[0] == found[1], len(set(found))) == (True, 3)
