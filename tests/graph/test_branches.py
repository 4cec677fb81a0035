"""Branches on types and arguments, and the states that forward puts its values in."""

import pytest
import torch
import torch.nn.functional as F

from deconvnet import DeconvNet
from tests.support.beside import IMAGES, POLICIES, Normed, right
from tests.support.networks import live_units
from tests.support.reference import assert_same


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


class Checkpointed(Normed):
    def forward(self, x):
        from torch.utils.checkpoint import checkpoint

        x = self.conv(x)
        if self.reentrant is None:
            return F.relu(x) + x
        return checkpoint(F.relu, x, use_reentrant=self.reentrant) + x


@pytest.mark.parametrize("policy", POLICIES)
@pytest.mark.parametrize("reentrant", [True, False])
def test_checkpointed_parts(reentrant, policy):
    model, plain = Checkpointed().double(), Checkpointed().double()
    model.reentrant, plain.reentrant = reentrant, None
    nets = [DeconvNet(one, policy) for one in (model, plain)]
    tops = [net.graph.returned[0] for net in nets]
    units = live_units(nets[1].record(IMAGES), tops[1], 2)
    found, expected = (net.project(IMAGES, units=units, seed="one") for net in nets)
    assert tops[0] == tops[1]
    assert_same(found, expected)
