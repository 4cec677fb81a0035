"""Forward writes, draws and counts: reading and checking leave nothing of it, nor believe it."""

import random
from contextlib import contextmanager, nullcontext

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torchvision.ops import stochastic_depth

from deconvnet import DeconvNet, UntraceableError, mine
from deconvnet.graph import export, graph
from deconvnet.graph.user_call import Traces, left_as_it_was
from deconvnet.projection.check import module_calls
from deconvnet.testing import check_model
from tests.support.networks import noise
from tests.support.reference import error

IMAGES = noise(1, 3, 8, 8)


class Net(nn.Module):
    """What a forward may do besides."""

    def __init__(self, act, *, counts=False):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.act, self.counts = nn.Conv2d(3, 3, 3, padding=1), act, counts
        self.register_buffer("seen", torch.ones(()))
        self.double().eval()

    def forward(self, x):
        if self.counts and x.shape[-1] < 4:  # only torch.export can follow this
            return x
        return self.act(self, self.conv(x))


def counting(self, h):
    self.seen += 1
    return h / self.seen


def replacing(self, h):
    self.seen = self.seen * 2
    return h * self.seen


def idle(self, h):
    self.seen += 1
    return F.relu(h)


def idempotent(self, h):
    self.seen.fill_(3)
    return h * self.seen


def decaying(self, h):
    with torch.no_grad():
        self.conv.bias.mul_(0.5)
    return F.relu(h)


def by_data(self, h):
    self.conv.weight.data.add_(1)
    return F.relu(h)


def put_back(self, h):
    self.conv.weight.data = self.conv.weight.data + 1
    return F.relu(h)


def foreach(self, h):
    with torch.no_grad():
        torch._foreach_mul_([self.conv.weight, self.conv.bias], 0.5)
    return F.relu(h)


def drawing(self, h):
    torch.rand(3), random.random(), np.random.rand()
    return F.relu(h)


WRITES = {f.__name__: f for f in (counting, replacing, idle, idempotent, drawing)}
PARAMETERS = {f.__name__: f for f in (decaying, by_data, put_back, foreach)}


def state(model):
    numbers = [
        (id(x), x.detach().numpy().tobytes()) for x in model.state_dict(keep_vars=True).values()
    ]
    generators = (
        torch.get_rng_state().numpy().tobytes(),
        random.getstate(),
        str(np.random.get_state()),
    )
    return numbers, generators


CALLS = {
    "constructor": lambda model: DeconvNet(model),
    "constructor of a size": lambda model: DeconvNet(model, input_size=(3, 8, 8)),
    "record": lambda model: DeconvNet(model).record(IMAGES, "conv"),
    "check_model": lambda model: check_model(model, IMAGES),
}


@pytest.mark.parametrize("counts", [False, True], ids=["torch.fx", "torch.export"])
@pytest.mark.parametrize("act", WRITES | PARAMETERS)
@pytest.mark.parametrize("call", CALLS)
def test_nothing_is_left_behind(call, act, counts):
    model = Net((WRITES | PARAMETERS)[act], counts=counts)
    before = state(model)
    try:
        CALLS[call](model)
    except UntraceableError:  # a model that keeps a state cannot be checked
        assert act not in ("idle", "drawing")
    assert state(model) == before


# "by_data" is refused while it is read, before anything runs
LEFT = sorted((WRITES.keys() - {"replacing"}) | (PARAMETERS.keys() - {"by_data"}))


@pytest.mark.parametrize("act", LEFT)
def test_the_law_catches_what_is_left(act, monkeypatch):
    """The planted wrong case: attributes are taken care of, and nothing else."""

    @contextmanager
    def as_before(model):
        with left_as_it_was(model):
            yield Traces()

    for module in (graph, module_calls):
        monkeypatch.setattr(module, "without_traces", as_before)
        monkeypatch.setattr(module, "parameters_kept", lambda *args: nullcontext())
    monkeypatch.setattr(export, "without_traces", as_before)
    model = Net((WRITES | PARAMETERS)[act])
    before = state(model)
    try:
        DeconvNet(model).record(IMAGES)
    except (UntraceableError, ValueError):
        pass
    assert state(model) != before


@pytest.mark.parametrize("counts", [False, True], ids=["torch.fx", "torch.export"])
@pytest.mark.parametrize("act", WRITES | PARAMETERS)
def test_a_state_is_right_or_one_clear_error(act, counts):
    model = Net((WRITES | PARAMETERS)[act], counts=counts)
    net = DeconvNet(model, "gradient")
    told = "keeps a state|is not the model|forward writes into" + "|cannot be traced" * counts
    if act not in ("idle", "drawing", "idempotent"):  # torch.export sees what the last one writes
        with pytest.raises(UntraceableError, match=told):
            net.record(IMAGES)
        return
    found = net.record(IMAGES)
    (value,) = found.activations.values()
    before = {name: x.clone() for name, x in model.state_dict().items()}
    own = model(IMAGES).detach()
    assert error(value, own) < 1e-10, "the model's own next answer"
    model.load_state_dict(before)


def test_a_counter_is_told_as_a_state():
    with pytest.raises(UntraceableError, match="keeps a state .a buffer or parameter"):
        DeconvNet(Net(counting), "gradient").record(IMAGES)


def branch_of_python(self, h):
    return h * (2.0 if random.random() < 0.5 else 1.0)


def branch_of_torch(self, h):
    return F.relu(h) if torch.rand(()).item() < 0.5 else h


def branch_of_numpy(self, h):
    return h * (2.0 if np.random.rand() < 0.5 else 1.0)


def dropped_path(self, h):
    return h + stochastic_depth(h * 2, 0.5, "row", training=True)


def seeded(self, h):
    torch.manual_seed(3)
    return h * (1 + torch.rand(3, 1, 1).double())


LUCK = (branch_of_python, branch_of_torch, branch_of_numpy, dropped_path)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("act", LUCK, ids=lambda act: act.__name__)
def test_random_branches_are_not_accepted_by_luck(act, seed):
    random.seed(seed), torch.manual_seed(seed), np.random.seed(seed)
    numbers = torch.get_rng_state()
    model = Net(act)
    torch.set_rng_state(numbers)
    net = DeconvNet(model, "gradient")
    with pytest.raises(UntraceableError, match="still draws random numbers|cannot be traced"):
        net.record(IMAGES)
    assert net.project(IMAGES, layer="conv", channel=0).any(), "below there is one answer"


def test_luck_was_enough_before(monkeypatch):
    """The planted wrong case: without a look at the generators some seeds pass."""
    monkeypatch.setattr(Traces, "__bool__", lambda self: False)
    passed = 0
    for seed in range(8):
        random.seed(seed)
        try:
            DeconvNet(Net(branch_of_python), "gradient").record(IMAGES)
            passed += 1
        except UntraceableError:
            pass
    assert passed


def test_numbers_from_a_seed_are_one_answer():
    model = Net(seeded)
    found = DeconvNet(model, "gradient").record(IMAGES)
    (value,) = found.activations.values()
    assert error(value, model(IMAGES).detach()) < 1e-10


def test_mining_a_random_model_is_refused(tmp_path):
    images = [image.float() for image in noise(4, 3, 8, 8)]
    model = Net(dropped_path).float()
    with pytest.raises(UntraceableError, match="still draws random numbers"):
        mine(model, images, tmp_path / "a.h5", ["add"], 2, 2)
    assert mine(model, images, tmp_path / "b.h5", ["conv"], 2, 2)["conv"].channels == 3


class Branching(nn.Module):
    """``torch.cond``, an operation on functions: torch runs it otherwise in modes of others."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)

    def forward(self, x):
        x = self.conv(x)
        return torch.cond(x.mean() > 0, self.above, self.below, (x,)) if len(x) else x

    def above(self, x):
        return self.two(F.relu(x))

    def below(self, x):
        return self.two(x.tanh())


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor:UserWarning")  # of torch itself
@pytest.mark.parametrize("sign", [-1, 1])
def test_operations_on_functions(sign):
    model = Branching().double()
    images = sign * IMAGES.abs() * 5
    (found,) = DeconvNet(model, "gradient").record(images).activations.values()
    assert error(found, model(images).detach()) < 1e-10
