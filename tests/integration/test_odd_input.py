"""What is given in the wrong form is one clear error, before anything runs."""

import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, UntraceableError, mine
from deconvnet.testing import check_model
from tests.support.networks import noise
from tests.support.reference import error

IMAGES = noise(2, 3, 8, 8)
MASK = noise(1, 1, 6, 6)


class Masked(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, x, mask, scale=1.0, names=None):
        return torch.relu(self.conv(x) * mask * scale)


class Default(Masked):
    """Nothing of it is needed, as in the models of some libraries."""

    def forward(self, words=None, pixels=None, scale=2.0):
        return torch.relu(self.conv(pixels) * scale)


class Keyword(Masked):
    def forward(self, *, image, scale=2.0):
        return torch.relu(self.conv(image) * scale)


class Nothing(Masked):
    def forward(self, x):
        self.conv(x)


class TensorHook(Masked):
    def forward(self, x):
        x = self.conv(x)
        x.register_hook(lambda signal: 2 * signal)
        return torch.relu(x)


def masked(**options):
    return DeconvNet(Masked().double(), "gradient", **options)


WRONG = {
    "a list of inputs": (lambda: masked(inputs=[MASK]), TypeError, "inputs= was list; give a dict"),
    "a tensor of inputs": (lambda: masked(inputs=MASK), TypeError, "inputs= was Tensor; give a di"),
    "a list for check_model": (
        lambda: check_model(Masked().double(), IMAGES, inputs=[MASK]),
        TypeError, "inputs= was list",
    ),
    "images as an input": (
        lambda: masked(inputs={"x": IMAGES, "mask": MASK}),
        ValueError, "given for 'x', 'mask'.*one must be left to the images",
    ),
    "all that is needed": (
        lambda: masked(inputs={"x": IMAGES, "mask": MASK, "scale": 2.0}),
        ValueError, "one must be left to the images",
    ),
    "no model": (lambda: DeconvNet("x"), TypeError, "the model was str; give a torch.nn.Module"),
    "no model to check": (lambda: check_model("x", IMAGES), TypeError, "the model was str"),
    "a word for check": (
        lambda: masked(check="no"), TypeError, "check='no' was given, expected True or False",
    ),
    "sparse images": (
        lambda: masked(inputs={"mask": MASK}).record(IMAGES.to_sparse()),
        ValueError, r"images of layout torch.sparse_coo were given.*images.to_dense\(\)",
    ),
    "nothing returned": (
        lambda: DeconvNet(Nothing().double()).record(IMAGES),
        ValueError, "Nothing returns no tensor: name a layer",
    ),
    "a hook of a tensor": (
        lambda: DeconvNet(TensorHook().double()).record(IMAGES),
        UntraceableError, "values agree and its gradient does not.*x.register_hook.*out of forward",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", WRONG)
def test_it_is_one_clear_error(case):
    call, kind, told = WRONG[case]
    with pytest.raises(kind, match=told):
        call()


def test_mine_says_so_too(tmp_path):
    images = [image.float() for image in noise(3, 3, 8, 8)]
    for model, options, told in (
        ("x", {}, "the model was str"),
        (Nothing(), {"check": "no"}, "check='no' was given"),
    ):
        with pytest.raises(TypeError, match=told):
            mine(model, images, tmp_path / "a.h5", ["conv"], 2, 2, **options)


@pytest.mark.parametrize("policy", ["gradient", "deconvnet"])
@pytest.mark.parametrize("counts", [False, True], ids=["torch.fx", "torch.export"])
def test_images_by_keyword_alone(counts, policy):
    class Net(Keyword):
        def forward(self, *, image, scale=2.0):
            if counts and image.shape[-1] < 4:
                return image
            return super().forward(image=image, scale=scale)

    model = Net().double()
    net = DeconvNet(model, policy)
    assert error(net.record(IMAGES)["relu"], model(image=IMAGES).detach()) < 1e-10
    assert net.project(IMAGES, layer="relu", channel=0).any()
    other = DeconvNet(model, policy, inputs={"scale": 3.0})
    assert error(other.record(IMAGES)["relu"], model(image=IMAGES, scale=3.0).detach()) < 1e-10


def test_where_nothing_is_needed_images_may_take_a_default():
    model = Default().double()
    found = DeconvNet(model, inputs={"words": None}).record(IMAGES)["relu"]
    assert error(found, model(pixels=IMAGES).detach()) < 1e-10


def test_layers_of_a_model_that_returns_nothing():
    net = DeconvNet(Nothing().double(), "gradient")
    assert net.record(IMAGES, "conv")["conv"].shape == (2, 4, 6, 6)
