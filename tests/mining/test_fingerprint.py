"""Two models of other values have other fingerprints, also where all their weights are equal."""

import subprocess
import sys
from contextlib import nullcontext
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

from deconvnet import Preprocessing, embed, mine, open_store, verify
from deconvnet.graph.frontends import Graphs, blank
from deconvnet.mining import fingerprint
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


def then(*modules):
    return nn.Sequential(nn.Conv2d(3, 8, 3), *modules)


def of(model):
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.fill_(0.5)
    model = model.eval()
    return now(model)


def now(model):
    image = blank(model, (3, 16, 16))
    return fingerprint.of_model(Graphs(model).of(image), image)


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


GRIDS = {}


class Remembers(nn.Module):
    """A model whose forward leaves something behind."""

    def __init__(self, kind, scale=2.0):
        super().__init__()
        self.conv, self.kind, self.scale = nn.Conv2d(3, 8, 3), kind, scale
        self.last = self.grid = None
        self.calls, self.grids = 0, {}
        self.register_buffer("seen", torch.zeros(()))
        self.register_buffer("kept", None, persistent=False)

    def made(self):
        return torch.linspace(0, self.scale, 14)

    def forward(self, x):
        x = self.conv(x)
        return x * getattr(self, self.kind)(x)

    def cached_in_an_attribute(self, x):
        if self.grid is None:
            self.grid = self.made()
        return self.grid

    def cached_in_a_buffer(self, x):
        if self.kept is None:
            self.kept = self.made()
        return self.kept

    def cached_in_a_dictionary(self, x):
        if "grid" not in self.grids:
            self.grids["grid"] = self.made()
        return self.grids["grid"]

    def cached_by_size(self, x):
        size = int(x.shape[-1])
        if size not in self.grids:
            self.grids[size] = torch.linspace(0, self.scale, size)
        return self.grids[size]

    def cached_in_the_file(self, x):
        if self.scale not in GRIDS:
            GRIDS[self.scale] = self.made() + 0 * x.mean()
            GRIDS[self.scale] = self.made()
        return GRIDS[self.scale]

    def counted_in_an_attribute(self, x):
        self.calls += 1
        return self.scale

    def counted_in_a_buffer(self, x):
        self.seen += 1
        return self.scale

    def counted_in_a_new_buffer(self, x):
        self.seen = self.seen + 1
        return self.scale

    def told_by_an_attribute(self, x):
        self.last = x.shape
        return self.scale

    def averaged_in_a_buffer(self, x):
        self.seen.mul_(0.9).add_(0.1 * x.mean())
        return self.scale


REMEMBERED = [
    name
    for name in vars(Remembers)
    if name.partition("_")[0] in ("cached", "counted", "told", "averaged")
]


@pytest.mark.parametrize("kind", REMEMBERED)
def test_what_a_forward_leaves_behind_does_not_count(kind):
    GRIDS.clear()
    torch.manual_seed(0)
    model, loaded = Remembers(kind).eval(), Remembers(kind).eval()
    loaded.load_state_dict(model.state_dict())
    fresh = now(model)
    held = {name: id(value) for name, value in vars(model).items()}
    assert now(model) == fresh
    assert held == {name: id(value) for name, value in vars(model).items()}
    for size in (16, 16, 20 if kind == "cached_by_size" else 16):
        with torch.no_grad():
            model(torch.randn(2, 3, size, size))
        assert now(model) == fresh
    assert now(loaded) == fresh, "a fresh one with the same weights"


@pytest.mark.parametrize("kind", REMEMBERED)
@pytest.mark.parametrize("called", [False, True])
def test_models_that_remember_are_told_apart(kind, called):
    found = []
    for scale, weight in ((2.0, 0.5), (3.0, 0.5), (2.0, 0.25)):
        GRIDS.clear()
        model = Remembers(kind, scale).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.fill_(weight)
            if called:
                model(torch.randn(1, 3, 16, 16))
        found.append(now(model))
    assert len(set(found)) == 3


class Leaf(StochasticDepth):
    """A node that keeps what it has seen."""

    def __init__(self, slope=0.1):
        super().__init__(0.1, "row")
        self.slope, self.calls, self.last, self.cache = slope, 0, None, {}

    def forward(self, x):
        self.calls, self.last = self.calls + 1, x.shape
        self.cache[x.shape[-1]] = x.mean()
        return F.leaky_relu(x, self.slope)


def test_a_node_that_remembers():
    model, other = then(Leaf()), then(Leaf(0.2))
    fresh = of(model)
    model(torch.randn(1, 3, 20, 20))
    assert of(model) == fresh != of(other)


def test_the_law_catches_a_fingerprint_of_what_lies_there(monkeypatch):
    """The planted wrong case: the graph and the buffers as they are found."""
    monkeypatch.setattr(fingerprint, "called_before", lambda graph, image: nullcontext((graph, ())))
    caught = []
    for kind in REMEMBERED:
        model = Remembers(kind).eval()
        fresh = now(model)
        model(torch.randn(2, 3, 16, 16))
        caught += [kind] if now(model) != fresh else []
    assert {"counted_in_a_buffer", "averaged_in_a_buffer"} <= set(caught), caught
    assert any("cached" in kind for kind in caught), caught


@pytest.mark.parametrize("kind", REMEMBERED)
def test_a_store_is_of_the_model_that_was_called_since(kind, tmp_path):
    torch.manual_seed(0)
    model, data = Remembers(kind).eval(), list(torch.rand(5, 3, 16, 16))
    store = mine(model, data, tmp_path / "one.h5", k=2, batch_size=2)
    model(data[0][None])
    assert not verify(store, model, data, n=None).mismatches
    embed(store, model, data, preprocessing=Preprocessing(size=(16, 16), resize=None))
    assert not verify(open_store(tmp_path / "one.h5"), model, data).mismatches
