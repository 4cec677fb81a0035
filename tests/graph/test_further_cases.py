"""Further cases of each kind in which a traced graph is another than its model (issue 13, A2-A14).

Each is right to autograd in float64, or one clear error; none is another map.
"""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, parametrize

from deconvnet import DeconvNet, UntraceableError
from tests.support.beside import right
from tests.support.networks import noise

IMAGES = noise(2, 3, 10, 10)


class Between(nn.Module):
    """Two convolutions and something between them."""

    def __init__(self, act, **modules):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.act = act
        for name, module in modules.items():
            self.add_module(name, module)
        self.double().eval()

    def forward(self, x):
        return self.two(self.act(self, F.relu(self.one(x))))


class Scaled(nn.Module):
    """A parametrisation."""

    def forward(self, weight):
        return 2 * weight.tanh()


class Standardised(nn.Conv2d):
    """Its weights are made in forward (Qiao 2019)."""

    def forward(self, x):
        weight = self.weight - self.weight.mean((1, 2, 3), keepdim=True)
        return F.conv2d(x, weight / weight.std((1, 2, 3), keepdim=True), self.bias, 1, self.padding)


class Standardising:
    """A hook of a user's own that makes the weight before each call."""

    def __init__(self, module):
        weight = module._parameters.pop("weight")
        module.register_parameter("given", nn.Parameter(weight.data))
        self(module, ())
        module.register_forward_pre_hook(self)

    def __call__(self, module, args):
        module.weight = module.given - module.given.mean((1, 2, 3), keepdim=True)


def made_by_a_hook():
    conv = nn.Conv2d(4, 4, 3, padding=1)
    Standardising(conv)
    model = Between(lambda m, x: m.conv(x), conv=conv)
    with torch.no_grad():
        model.conv.given.mul_(torch.linspace(1, 3, 36).view(1, 4, 3, 3))
    return model


def parametrised():
    conv = nn.Conv2d(4, 4, 1)
    parametrize.register_parametrization(conv, "weight", Scaled())
    parametrize.register_parametrization(conv, "bias", Scaled())
    return Between(lambda m, x: m.conv(x), conv=conv)


def functional_call(model, x):
    weights = {"weight": 2 * model.conv.weight, "bias": model.conv.bias}
    return torch.func.functional_call(model.conv, weights, (x,))


def in_any_case(model, x):
    try:
        return x * 3 if x.ndim == 4 else x
    except Exception:
        return x * 7


class Round(torch.autograd.Function):
    """With a straight-through gradient; it writes into what it was given."""

    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(4).round_()

    @staticmethod
    def backward(ctx, signal):
        return 5 * signal


class Several(torch.autograd.Function):
    """Not all that it returns is a tensor with a derivative."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.set_materialize_grads(False)
        return x * factor, x > 0, 3

    @staticmethod
    def backward(ctx, signal, *others):
        return (None if signal is None else 2 * signal), None


def several(model, x):
    scaled, mask, number = Several.apply(x, 2.0)
    return scaled * mask * number


def graded(model, x):
    with torch.no_grad():
        plain = 2 * x
        with torch.enable_grad():
            live = x * x
    return plain + live


def switched(model, x):
    torch.set_grad_enabled(False)
    scale = x.mean((2, 3), keepdim=True)
    torch.set_grad_enabled(True)
    return x * scale


def detached_in_place(model, x):
    scale = x.mean((2, 3), keepdim=True) * 1
    scale.detach_()
    return x * scale


def tokens(x):
    return x.flatten(2).transpose(1, 2)


def attended(model, x):
    values, weights = model.part(*[tokens(x)] * 3, average_attn_weights=False)
    return values.transpose(1, 2).reshape(x.shape) * weights.mean((1, 2, 3))[:, None, None, None]


def recurrent(model, x):
    state = x.new_zeros(len(x), 4)
    for row in range(3):
        state = model.part(x[:, :, row].mean(2), state)
    return x * state[:, :, None, None]


def sampled(model, x):
    shift = torch.zeros(len(x), 2, 3, dtype=x.dtype)
    shift[:, 0, 0] = shift[:, 1, 1] = 1
    grid = F.affine_grid(shift + x.mean() / 10, x.shape, align_corners=False)
    return F.grid_sample(x, grid, align_corners=False)


def gathered(model, x):
    first = (100 * x.mean((1, 2, 3), keepdim=True)).long()
    return x.gather(3, ((torch.arange(10) + first) % 10).expand_as(x))


def filtered(model, x):
    return torch.fft.irfft2(torch.fft.rfft2(x) * model.two.bias[:, None, None], s=x.shape[2:])


RIGHT = {
    "A2, weights made by a hook of one's own": made_by_a_hook,
    "A2, parametrised weight and bias": parametrised,
    "A2, orthogonal": lambda: Between(
        lambda m, x: m.conv(x), conv=parametrizations.orthogonal(nn.Conv2d(4, 4, 1))
    ),
    "A2, weights made in forward": lambda: Between(
        lambda m, x: m.conv(x), conv=Standardised(4, 4, 3, padding=1)
    ),
    "A2, functional_call": lambda: Between(functional_call, conv=nn.Conv2d(4, 4, 1)),
    "A3, type and size": lambda: Between(in_any_case),
    "A3, precision": lambda: Between(lambda m, x: 2 * x if x.dtype == torch.float64 else 3 * x),
    "A3, a derivative is wanted": lambda: Between(lambda m, x: 2 * x if x.requires_grad else 3 * x),
    "A3, torch.jit is at work": lambda: Between(
        lambda m, x: 2 * x if torch.jit.is_tracing() else 3 * x
    ),
    "A3, torch.compile is": lambda: Between(
        lambda m, x: 2 * x if torch.compiler.is_compiling() else 3 * x
    ),
    "A4, dirty": lambda: Between(lambda m, x: Round.apply(x * 1)),
    "A4, several": lambda: Between(several),
    "A5, in each other": lambda: Between(graded),
    "A5, by a call": lambda: Between(switched),
    "A5, in place": lambda: Between(detached_in_place),
    "A5, data": lambda: Between(lambda m, x: x * x.data.mean((2, 3), keepdim=True)),
    "A5, straight through": lambda: Between(lambda m, x: x + (x.round() - x).detach()),
    "A6, attention and its weights": lambda: Between(
        attended, part=nn.MultiheadAttention(4, 2, batch_first=True)
    ),
    "A6, a cell in a loop": lambda: Between(recurrent, part=nn.GRUCell(4, 4)),
    "A6, an encoder": lambda: Between(
        lambda m, x: m.part(tokens(x)).transpose(1, 2).reshape(x.shape),
        part=nn.TransformerEncoderLayer(4, 2, 8, batch_first=True),
    ),
    "A13, complex numbers between": lambda: Between(filtered),
    "A14, places that depend on values": lambda: Between(sampled),
    "A14, indices that do": lambda: Between(gathered),
}


@pytest.mark.parametrize("case", RIGHT)
def test_it_is_as_autograd(case):
    right(RIGHT[case](), IMAGES)


def writes_uncounted(model, x):
    y = x * 1
    y.data.clamp_(max=0.4)
    return y * x


REFUSED = {
    "A3, a type that no stand-in has": (
        lambda m, x: 3 * x if type(x) is torch.Tensor else 2 * x, "is not the model",
    ),
    "A3, an error that is caught": (
        lambda m, x: x * bool(x.mean() > -9) if x.ndim == 4 else x, "control flow",
    ),
    "A3, torch.export is at work": (
        lambda m, x: x * (2 if torch.compiler.is_exporting() or len(x) > 99 else 3),
        "is not the model",
    ),
    "A4, torch.func": (lambda m, x: torch.func.grad(lambda z: (z**3).sum())(x), "torch.func"),
    "A5, data, in place": (writes_uncounted, "is not the model"),
    "A5, numpy": (lambda m, x: x * torch.from_numpy(x.detach().numpy()), "numpy"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_one_clear_error(case):
    act, told = REFUSED[case]
    model = Between(act)
    with pytest.raises(UntraceableError, match=told):
        DeconvNet(model, "gradient").record(IMAGES)
    net = DeconvNet(model, "gradient")
    assert net.project(IMAGES, layer="one", channel=1).any(), "what is below it is right"


NOWHERE = {
    "A8, classes": lambda m, x: F.one_hot(x.argmax(1), 4).permute(0, 3, 1, 2).to(x),
    "A8, buckets": lambda m, x: torch.bucketize(x, torch.linspace(0, 1, 5).double()).to(x),
}


@pytest.mark.parametrize("check", [True, False])
@pytest.mark.parametrize("case", NOWHERE)
def test_a_path_that_ends_is_named(case, check):
    net = DeconvNet(Between(NOWHERE[case]), "gradient", check=check)
    with pytest.raises(ValueError, match="no signal reaches the images from two: the path ends at"):
        net.project(IMAGES, layer="two", channel=1)


class Named(nn.Module):
    """Modules that are called as nodes are."""

    def __init__(self, *names):
        super().__init__()
        torch.manual_seed(0)
        self.names = names
        for number, name in enumerate(names):
            self.add_module(name, nn.Conv2d(4 if number else 3, 4, 3, padding=1))

    def forward(self, x):
        for name in self.names:
            x = getattr(self, name)(x).tanh()
        return x


@pytest.mark.parametrize(
    "names", [("x", "input", "output"), ("tanh", "tanh_1", "hooks"), ("0", "class", "a b", "é")]
)
def test_a_name_is_that_of_its_module(names):
    for name in names:
        right(Named(*names).double(), IMAGES, name)
