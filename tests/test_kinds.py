"""What models do that a trace cannot see: each is right, as autograd and the model are."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, prune, spectral_norm, weight_norm

from deconvnet import DeconvNet, Unit, UnmirroredError, UntraceableError
from tests.networks import live_units, noise
from tests.reference import EveryRelu, assert_same, error

pytestmark = pytest.mark.filterwarnings("ignore:.*weight_norm.* is deprecated:FutureWarning")
IMAGES = noise(2, 3, 9, 9)


def right(model, images, layer=None, *, policy="gradient", module=None, **settings):
    """Values and projections of a layer are those of the running model itself."""
    model.eval()
    net = DeconvNet(model, policy, **settings)
    layer = layer or None
    recording = net.record(images, layer)
    (name,) = recording.activations
    caught = []
    module = module or (model.get_submodule(layer) if layer else model)
    handle = module.register_forward_hook(lambda m, i, o: caught.append(o.clone()))
    leaf = images.clone().requires_grad_()
    if policy == "gradient":
        model(leaf)
    else:
        with EveryRelu(policy):
            model(leaf)
    handle.remove()
    value = caught[-1]
    assert error(recording[name], value.detach()) <= 1e-10
    units = live_units(recording, name, 2)
    assert units
    expected = []
    for unit in units:
        one = value[(unit.image, unit.channel, *(unit.position or ()))]
        expected.append(torch.autograd.grad(one, leaf, retain_graph=True)[0][unit.image])
    found = net.project(images, units=units, seed="one")
    assert_same(found, torch.stack(expected))
    assert_same(net.project(recording, units=units, seed="one"), found)
    return net


def small():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()),
        nn.MaxPool2d(2),
    ).double()  # fmt: skip


POLICIES = ("gradient", "deconvnet", "guided")

# hooks (A1)
HOOKS = {
    "scales a convolution": ("0", lambda m, i, o: 10 * o),
    "scales a rectifier": ("1", lambda m, i, o: 10 * o - 1),
    "scales a container": ("2", lambda m, i, o: 3 * o + o.mean()),
    "scales the model": ("", lambda m, i, o: o * o),
    "adds the input": ("2.1", lambda m, i, o: o + i[0]),
    "looks at a pool": ("3", lambda m, i, o: None),
    "looks at a container": ("2", lambda m, i, o: None),
}


def written(o):
    o.mul_(2)


HOOKS["writes in place"] = ("0", lambda m, i, o: written(o))
HOOKS["writes into the model's"] = ("", lambda m, i, o: written(o))


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hook", HOOKS)
def test_forward_hooks(hook, policy):
    model = small()
    path, function = HOOKS[hook]
    model.get_submodule(path).register_forward_hook(function)
    right(model, IMAGES, policy=policy)
    for layer in ("0", "1", "2.0", "2", "3"):
        right(model, IMAGES, layer, policy=policy)


PRE = {
    "a convolution": ("0", lambda m, i: (i[0] * 2 + 1,)),
    "a value alone": ("2.0", lambda m, i: i[0] * i[0]),
    "a container": ("2", lambda m, i: (i[0] * 2 + 1,)),
    "the model": ("", lambda m, i: (i[0] * 3 - 1,)),
    "only looks": ("2.0", lambda m, i: None),
}


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("hook", PRE)
def test_forward_pre_hooks(hook, policy):
    model = small()
    path, function = PRE[hook]
    model.get_submodule(path).register_forward_pre_hook(function)
    right(model, IMAGES, policy=policy)
    for layer in ("0", "2.0", "2"):
        right(model, IMAGES, layer, policy=policy)


def test_hooks_that_are_set_and_taken_away_later():
    model = small()
    net = DeconvNet(model, "gradient")
    plain = net.record(IMAGES, "3")["3"]
    for path in ("0", "2"):
        handle = model.get_submodule(path).register_forward_hook(lambda m, i, o: 10 * o)
        assert error(net.record(IMAGES, "3")["3"], model(IMAGES).detach()) < 1e-10
        assert error(net.record(IMAGES, "3")["3"], plain) > 1
        handle.remove()
        assert torch.equal(net.record(IMAGES, "3")["3"], plain)


def test_hooks_with_keyword_arguments():
    model = small()
    model[2].register_forward_hook(lambda m, i, k, o: 2 * o + len(k), with_kwargs=True)
    model[0].register_forward_pre_hook(lambda m, i, k: ((3 * i[0],), k), with_kwargs=True)
    right(model, IMAGES)


@pytest.mark.parametrize("path", ["0", "2", ""])
def test_a_hook_never_sees_anything_but_tensors(path):
    model, seen = small(), []
    model.get_submodule(path).register_forward_hook(lambda m, i, o: seen.append((i[0], o)))
    net = DeconvNet(model)
    net.layers  # noqa: B018
    net.project(IMAGES, layer="3", channel=1)
    for pair in seen:
        assert all(type(value) is torch.Tensor for value in pair), pair
    assert seen[-1][1].shape[0] == 2


def test_a_hook_that_looks_leaves_the_mirror_as_it_is():
    model = small()
    before = {s.name: type(s.layer) for s in DeconvNet(model).record(IMAGES).steps}
    model[0].register_forward_hook(lambda m, i, o: None)
    after = {s.name: type(s.layer) for s in DeconvNet(model).record(IMAGES).steps}
    assert after == before
    assert DeconvNet(model).layers["0"].kind == "Conv2d"


@pytest.mark.parametrize("path", ["0", "2", ""])
@pytest.mark.parametrize(
    "register", ["register_full_backward_hook", "register_full_backward_pre_hook"]
)
def test_backward_hooks_are_refused_by_name(path, register):
    model = small()
    getattr(model.get_submodule(path), register)(lambda m, *args: None)
    net = DeconvNet(model)
    with pytest.raises(ValueError, match=f"backward hook.*{path or 'the model itself'}.*remove"):
        net.project(IMAGES, layer="3", channel=0)
    if path == "2":
        assert net.project(IMAGES, layer="1", channel=1).any(), "below it there is none"


# weights that are made before a call (A2)
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


# branches on types and arguments (A3)
class Normed(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)
        self.register_buffer("mean", torch.full((3, 1, 1), 0.3))


class IsTensor(Normed):
    def forward(self, x):
        if torch.is_tensor(x):
            x = (x - self.mean) / 0.2
        return F.relu(self.conv(x))


class IsInstance(Normed):
    def forward(self, x):
        if isinstance(x, (list, tuple)):
            x = x[0]
        elif not isinstance(x, torch.Tensor):
            return x
        return F.relu(self.conv(x - self.mean))


class Optional(Normed):
    def forward(self, x, mask=None, scale=2.0, *, power=1, names=("a",), **rest):
        x = self.conv(x)
        if mask is not None:
            x = x * mask
        for _ in range(power):
            x = x * scale
        return F.relu(x) if "a" in names and not rest else x


class Several(Normed):
    def forward(self, *xs, **rest):
        return F.relu(self.conv(xs[0]) * len(xs)) if not rest else xs


class ByType(Normed):
    def forward(self, x):
        return F.relu(self.conv(x)) if x.dtype == torch.float64 else self.conv(x)


class ByGrad(Normed):
    def forward(self, x):
        return F.relu(self.conv(x)) if x.is_floating_point() else self.conv(x)


@pytest.mark.parametrize("policy", ["gradient", "guided"])
@pytest.mark.parametrize("kind", [IsTensor, IsInstance, Optional, Several, ByType, ByGrad])
def test_branches_on_types_and_arguments(kind, policy):
    right(kind().double(), IMAGES, policy=policy)


# autograd functions of a user's own (A4)
class Sign(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x.sign()

    @staticmethod
    def backward(ctx, signal):
        (x,) = ctx.saved_tensors
        return signal * (x.abs() < 1)


class Scaled(torch.autograd.Function):
    """With the new way of keeping things, two inputs and two outputs."""

    @staticmethod
    def forward(x, factor, weight):
        return x * factor, x + weight

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.factor = inputs[1]

    @staticmethod
    def backward(ctx, one, other):
        return one * ctx.factor * 2 + other, None, None


sign = Sign.apply  # an alias, as PyTorch's own documents have it


class Stretching(nn.Module):
    def __init__(self, act):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 3)
        self.weight = nn.Parameter(torch.randn(4, 1, 1))
        self.act = act

    def forward(self, x):
        return self.two(self.act(self, self.one(x)))


ACTS = {
    "apply": lambda m, x: Sign.apply(x),
    "alias": lambda m, x: sign(x),
    "two": lambda m, x: sum(Scaled.apply(x, 2.0, m.weight)),
    "one of two": lambda m, x: Scaled.apply(x, 2.0, m.weight)[0],
}


@pytest.mark.parametrize("act", ACTS)
def test_autograd_functions(act):
    right(Stretching(ACTS[act]).double(), IMAGES)


# the state that a value is made in (A5)
class NoGrad(Normed):
    def forward(self, x):
        x = self.conv(x)
        with torch.no_grad():
            scale = x.abs().mean((2, 3), keepdim=True)
        return F.relu(x / scale)


class Decorated(Normed):
    @torch.no_grad()
    def scale(self, x):
        return F.relu(self.conv(x)).amax((2, 3), keepdim=True)

    def forward(self, x):
        return self.conv(x) * self.scale(x)


class Detached(Normed):
    def forward(self, x):
        x = self.conv(x)
        return F.relu(x) * x.detach().sigmoid() + x.data.tanh() * torch.detach(x)


class Inferred(Normed):
    def forward(self, x):
        x = self.conv(x)
        with torch.inference_mode():
            scale = x.abs().mean()
        return F.relu(x) * float(1) + x + scale * 0 + scale


class Regained(Normed):
    def forward(self, x):
        with torch.no_grad():
            y = self.conv(x)
            with torch.enable_grad():
                z = self.conv(x * 2)
        return F.relu(y + z)


class Switched(Normed):
    def forward(self, x):
        x = self.conv(x)
        before = torch.is_grad_enabled()
        torch.set_grad_enabled(False)
        scale = x.mean()
        torch.set_grad_enabled(before)
        return F.relu(x * scale)


@pytest.mark.parametrize("kind", [NoGrad, Decorated, Detached, Inferred, Regained, Switched])
def test_states_within_forward(kind):
    right(kind().double(), IMAGES)
    with torch.no_grad():
        right_in_no_grad = DeconvNet(kind().double(), "gradient").record(IMAGES)
    assert right_in_no_grad.activations


# recurrent parts, results that are read in part (A6)
class Recurrent(nn.Module):
    def __init__(self, kind, *, read):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.cells, self.read = nn.Conv2d(3, 4, 3), kind(4, 5, batch_first=True), read

    def forward(self, x):
        y = self.conv(x).flatten(2).transpose(1, 2)
        return self.read(self.cells(y))


READ = {
    "gru outputs": (nn.GRU, lambda found: found[0]),
    "gru last": (nn.GRU, lambda found: found[1].transpose(0, 1).flatten(1)),
    "lstm outputs": (nn.LSTM, lambda found: found[0]),
    "lstm hidden": (nn.LSTM, lambda found: found[1][0].transpose(0, 1).flatten(1)),
    "lstm cell": (nn.LSTM, lambda found: found[1][1].transpose(0, 1).flatten(1)),
    "rnn both": (nn.RNN, lambda found: found[0].mean(1) + found[1][0]),
}


@pytest.mark.parametrize("read", READ)
def test_recurrent_parts(read):
    kind, function = READ[read]
    right(Recurrent(kind, read=function).double(), IMAGES)


@torch.fx.wrap
def nested(x):
    return {"a": (x.sin(), [x.cos(), x.exp()]), "b": x}


class Nested(Normed):
    def forward(self, x):
        found = nested(self.conv(x))
        return found["a"][1][0] * 2 + found["a"][0]


def test_nested_results_that_are_read_in_part():
    right(Nested().double(), IMAGES)


# compiled parts (A7)
def swish(x):
    return torch.relu(x) * 2.0


def compiled(how):
    torch.manual_seed(0)
    block = nn.Sequential(nn.Conv2d(4, 4, 3), nn.ReLU()).double().eval()
    if how == "scripted":
        part = torch.jit.script(block)
    elif how == "traced":
        part = torch.jit.trace(block, noise(1, 4, 7, 7))
    else:
        part = Wrapping()
    return nn.Sequential(nn.Conv2d(3, 4, 3), part, nn.Conv2d(4, 2, 1)).double().eval()


@torch.fx.wrap
def wrapped(x):
    return SCRIPTED[0](x)


SCRIPTED = []


class Wrapping(nn.Module):
    def forward(self, x):
        return wrapped(x)


class Calling(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


jit = pytest.mark.filterwarnings("ignore:.*torch.jit.*")


@jit
@pytest.mark.parametrize("how", ["scripted", "traced", "wrapped"])
def test_compiled_parts_are_refused_by_name(how):
    SCRIPTED[:] = [torch.jit.script(swish)]
    for _ in range(3):  # after which it is one operation to autograd
        SCRIPTED[0](IMAGES.clone().requires_grad_())
    model = compiled(how)
    for policy in ("deconvnet", "guided", "rectgrad"):
        net = DeconvNet(model, policy)
        with pytest.raises(UnmirroredError, match=r"at 1.*(Script|Trac|Relu|Module|compiled)"):
            net.project(IMAGES, layer="2", channel=0)
        assert net.project(IMAGES, layer="0", channel=0).any(), "below it there is nothing hidden"
    right(model, IMAGES)


@jit
@pytest.mark.parametrize("policy", POLICIES)
def test_a_compiled_function_is_opened(policy):
    scripted, plain = (
        nn.Sequential(nn.Conv2d(3, 4, 3), Calling(f), nn.Conv2d(4, 2, 1)).double()
        for f in (torch.jit.script(swish), swish)
    )
    plain.load_state_dict(scripted.state_dict())
    nets = [DeconvNet(model, policy) for model in (scripted, plain)]
    units = live_units(nets[1].record(IMAGES), "2", 2)
    assert_same(*(net.project(IMAGES, units=units, seed="one") for net in nets))


# an own function is an activation without a rule (A4)
@pytest.mark.parametrize("act", ["apply", "alias", "opaque"])
@pytest.mark.parametrize("policy", ["deconvnet", "guided"])
def test_autograd_functions_have_no_rule(act, policy):
    model = Stretching({**ACTS, "opaque": lambda m, x: opaque(x)}[act]).double()
    with pytest.raises(UnmirroredError, match="at .*no rule for Sign.*elsewhere='derivative'"):
        DeconvNet(model, policy).record(IMAGES)
    by_derivative = DeconvNet(model, policy, elsewhere="derivative")
    units = live_units(by_derivative.record(IMAGES), "two", 2)
    found = by_derivative.project(IMAGES, units=units, seed="one")
    plain = DeconvNet(model, "gradient").project(IMAGES, units=units, seed="one")
    assert_same(found, plain)


@torch.fx.wrap
def opaque(x):
    return Sign.apply(x) if x.mean() < 100 else x


def test_an_autograd_function_is_rectified_where_that_is_asked_for():
    model = Stretching(ACTS["apply"]).double()
    net = DeconvNet(model, "guided", elsewhere="rectify")
    units = live_units(net.record(IMAGES), "two", 2)
    leaf = IMAGES.clone().requires_grad_()
    low = model.one(leaf)
    top = model.two(low.detach().sign().requires_grad_())
    seen = low.detach().sign().requires_grad_()
    top = model.two(seen)
    expected = []
    for unit in units:
        value = top[(unit.image, unit.channel, *unit.position)]
        (signal,) = torch.autograd.grad(value, seen, retain_graph=True)
        (below,) = torch.autograd.grad(low, leaf, signal.clamp(min=0), retain_graph=True)
        expected.append(below[unit.image])
    assert_same(net.project(IMAGES, units=units, seed="one"), torch.stack(expected))


# paths that end before the pixels (A8)
class Rounded(Normed):
    def forward(self, x):
        y = self.conv(x)
        return F.relu((y * 100).to(torch.int32).to(y.dtype) / 100)


class Blocked(Normed):
    def forward(self, x):
        return F.relu(self.conv(x).detach()) + 1


class Constant(Normed):
    def forward(self, x):
        self.conv(x)
        return F.relu(self.conv(torch.ones_like(x)))


ENDS = {Rounded: "to,", Blocked: "detach,", Constant: "ones_like,"}


@pytest.mark.parametrize("kind", ENDS)
@pytest.mark.parametrize("how", ["units", "recording", "map"])
def test_a_path_that_ends_before_the_pixels(kind, how):
    net = DeconvNet(kind().double(), "gradient")
    recording = net.record(IMAGES)
    (last,) = net.graph.returned
    calls = {
        "units": lambda: net.project(IMAGES, units=[Unit(last, 1, 2, 2)]),
        "recording": lambda: net.project(recording, layer=last, channel=1),
        "map": lambda: net.project(IMAGES, layer=last, channel=1, seed="map"),
    }
    with pytest.raises(
        ValueError, match=f"no signal reaches the images from {last}.*ends at ({ENDS[kind]})"
    ):
        calls[how]()
    assert net.project(IMAGES, layer="conv", channel=1).any()


# names (A9)
class Named(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv, self.relu_1 = nn.Conv2d(3, 4, 3), nn.ReLU()
        self.add, self.conv_1 = nn.Sequential(nn.Conv2d(4, 4, 1), nn.Tanh()), nn.Conv2d(4, 3, 1)

    def forward(self, x):
        x = F.relu(self.conv(x) - 0.1) - 0.2
        x = F.relu(x) - 0.1
        x = self.relu_1(x) + 1
        x = self.conv(self.conv_1(self.add(x)))
        if x.shape[2] < 0:
            raise ValueError
        return x + 1


class NamedForExport(Named):
    def forward(self, x):
        return super().forward(x) if x.shape[-1] > 3 else x


@pytest.mark.parametrize("kind", [Named, NamedForExport])
def test_a_modules_path_is_its_name(kind):
    model = kind().double()
    for path in ("relu_1", "conv_1", "add", "add.0"):
        right(model, IMAGES, path)
    net = right(model, IMAGES, "conv_1")
    assert net.graph.nodes["relu_1"].module is model.relu_1
    assert net.graph.find("add") == "add.1"
    assert {"relu", "relu_2", "conv", "conv_2"} <= set(net.graph.nodes)


# a place that cannot be read (A10)
class Decoding(nn.Module):
    def __init__(self, *, normalized=False):
        super().__init__()
        torch.manual_seed(0)
        self.backbone = small()
        self.head = nn.Conv2d(4, 2, 1)

    def forward(self, x):
        y = self.head(self.backbone(x))
        return sorted(y.flatten().tolist())


def test_layers_below_a_place_that_cannot_be_read():
    model = Decoding().double()
    for layer in ("backbone.0", "backbone.2.0", "head", "backbone"):
        right(model, IMAGES, layer)
    net = DeconvNet(model, "guided")
    assert net.project(IMAGES, layer=model.backbone, channel=1).shape == IMAGES.shape
    for ask in (lambda: net.record(IMAGES), lambda: net.record(IMAGES, "decode")):
        with pytest.raises(UntraceableError, match=r"tolist.*DeconvNet\(model.backbone\).*below"):
            ask()
    right(model.backbone, IMAGES)


def test_normalisation_as_the_first_layer():
    from torchvision.transforms import Normalize, v2

    for kind in (Normalize, v2.Normalize):
        model = nn.Sequential(kind([0.5, 0.4, 0.3], [0.2, 0.3, 0.4]), *small())
        for policy in ("gradient", "guided"):
            net = right(model, IMAGES, policy=policy)
        unit = [Unit("2", 1, 2, 2)]
        assert net.route(IMAGES, unit).way == "cone"
        right(nn.Sequential(kind([0.5], [0.25]), *small()), IMAGES)


def test_other_preprocessing_within_a_model():
    from torchvision import transforms

    model = nn.Sequential(transforms.CenterCrop(7), transforms.Resize(8, antialias=True), *small())
    right(model, IMAGES)
