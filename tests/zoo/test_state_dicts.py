"""Weights: whose they are, what they leave random, and what is refused unread."""

import os
import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torchvision import models as torchvision_models

from deconvnet.zoo.load import load
from deconvnet.zoo.state_dicts import load_weights, read_weights

VGG16 = Path(__file__).parents[3] / "shared" / "models" / "vgg16_features.pth"


def make(seed=0):
    """A trunk with batch norm and a head, all random."""
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3))
    model = nn.Sequential()
    model.add_module("features", trunk)
    model.add_module("classifier", nn.Linear(5, 2))
    return model


def weights(tmp_path, state, name="weights.pth"):
    path = tmp_path / name
    (save_file if name.endswith("safetensors") else torch.save)(state, path)
    return str(path)


def same(one, other):
    pairs = zip(one.state_dict().items(), other.state_dict().items(), strict=True)
    return all(a == b and torch.equal(x, y) for (a, x), (b, y) in pairs)


@pytest.mark.parametrize("name", ["w.pth", "w.pt", "w.safetensors"])
@pytest.mark.parametrize("prefix", ["", "module."])
def test_every_tensor_arrives(tmp_path, name, prefix):
    trained, model = make(1), make(2)
    state = {f"{prefix}{key}": value for key, value in trained.state_dict().items()}
    assert not same(model, trained)
    assert load_weights(model, weights(tmp_path, state, name)) == ()
    assert same(model, trained)


def test_a_checkpoint_with_a_state_dict_inside(tmp_path):
    trained, model = make(1), make(2)
    file = weights(tmp_path, {"epoch": 3, "state_dict": trained.state_dict()})
    assert load_weights(model, file) == ()
    assert same(model, trained)


def test_old_weights_without_batch_counters(tmp_path):
    state = {k: v for k, v in make(1).state_dict().items() if "num_batches" not in k}
    model = make(2)
    assert load_weights(model, weights(tmp_path, state)) == ()
    assert torch.equal(model.features[0].weight, state["features.0.weight"])


def test_a_trunk_leaves_the_head_untrained_and_says_so(tmp_path):
    state = {k: v for k, v in make(1).state_dict().items() if k.startswith("features")}
    model = make(2)
    with pytest.warns(UserWarning, match="cover 9 of 11 tensors; classifier stay random"):
        assert load_weights(model, weights(tmp_path, state)) == ("classifier",)
    assert torch.equal(model.features[3].bias, state["features.3.bias"])


def without(*keys):
    return {key: value for key, value in make(1).state_dict().items() if key not in keys}


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (without("features.0.weight", "features.0.bias"), "they lack features.0.weight"),
        (without("features.3.bias"), "they lack features.3.bias"),
        (without("classifier.bias"), "they lack classifier.bias"),
        ({**without(), "head.weight": torch.zeros(2)}, "it has no head.weight, but has features.0"),
        ({**without(), "classifier.bias": torch.zeros(9)}, r"classifier.bias is \(9,\) there and"),
        ({}, "holds an empty state dict"),
    ],
)
def test_weights_of_another_model(tmp_path, state, message):
    model = make(2)
    with pytest.raises(ValueError, match=message):
        load_weights(model, weights(tmp_path, state))
    assert same(model, make(2))


@pytest.fixture(scope="module")
def resnets(tmp_path_factory):
    """Files with the weights of ResNets, which share most of their names."""
    folder = tmp_path_factory.mktemp("resnets")
    with torch.device("meta"):
        made = {name: getattr(torchvision_models, name)() for name in ("resnet18", "resnet34")}
    for name, model in made.items():
        torch.save(model.to_empty(device="cpu").state_dict(), folder / name)
    return folder


@pytest.mark.parametrize(
    ("name", "into", "message"),
    [
        ("resnet18", "resnet34", "not those of this ResNet: they lack layer1.2.conv1.weight"),
        ("resnet34", "resnet18", "not those of this ResNet: it has no layer1.2.conv1.weight"),
        ("resnet18", "resnet50", "not those of this ResNet: layer1.0.conv1.weight is"),
        ("resnet18", "alexnet", "not those of this AlexNet: it has no conv1.weight"),
    ],
)
def test_weights_of_another_architecture(resnets, name, into, message):
    with torch.device("meta"):
        model = getattr(torchvision_models, into)()
    with pytest.raises(ValueError, match=message):
        load_weights(model, str(resnets / name))


# --- files that are no weights ----------------------------------------------------------------


class Payload:
    """What a malicious file does when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path):
    ran = tmp_path / "ran"
    torch.save({"weight": Payload(ran)}, tmp_path / "bad.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Payload(ran)))
    for name in ("bad.pth", "plain.pth"):
        with pytest.raises(ValueError, match="could run code; save one with torch.save"):
            read_weights(str(tmp_path / name))
        assert not ran.exists()
    torch.load(tmp_path / "bad.pth", weights_only=False)  # the payload works, so it was refused
    assert ran.exists()


def test_a_whole_module_is_refused(tmp_path):
    torch.save(make(), tmp_path / "model.pth")
    with pytest.raises(ValueError, match=r"not a plain state dict.*model.state_dict\(\)"):
        read_weights(str(tmp_path / "model.pth"))


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("empty.pth", b"", "cannot be read|not a plain state dict"),
        ("empty.safetensors", b"", "cannot be read"),
        ("page.pth", b"<!DOCTYPE html><html>404</html>", "cannot be read|not a plain state dict"),
        ("page.safetensors", b"<!DOCTYPE html><html>404</html>", "cannot be read"),
        ("huge.safetensors", b"\xff" * 64, "cannot be read"),
    ],
)
def test_files_that_are_no_weights(tmp_path, name, content, message):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(ValueError, match=message) as caught:
        read_weights(str(tmp_path / name))
    assert name in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["w.pth", "w.safetensors"])
def test_truncated_files(tmp_path, name):
    file = Path(weights(tmp_path, make().state_dict(), name))
    file.write_bytes(file.read_bytes()[:-300])
    with pytest.raises(ValueError, match="cannot be read as weights: "):
        read_weights(str(file))


def test_other_contents(tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no file of weights"):
        read_weights(str(tmp_path / "none.pth"))
    with pytest.raises(ValueError, match="holds Tensor, expected a state dict"):
        read_weights(weights(tmp_path, torch.zeros(3)))
    with pytest.raises(ValueError, match="holds dict, expected a state dict of tensors"):
        read_weights(weights(tmp_path, {"epoch": 3}))


# --- a trunk that is on this machine ------------------------------------------------------------


@pytest.mark.skipif(not VGG16.is_file(), reason=f"no trained VGG-16 trunk beside us: {VGG16.name}")
def test_the_trunk_of_vgg16():
    with pytest.warns(UserWarning, match="26 of 32 tensors; classifier.0, .* stay random"):
        loaded = load("torchvision:vgg16", str(VGG16))
    assert loaded.untrained == ("classifier.0", "classifier.3", "classifier.6")
    assert loaded.trained("features.28")
    assert not loaded.trained("classifier.6")
    assert loaded.preprocessing.size == (224, 224)
    trained = torch.load(VGG16, weights_only=True)
    assert torch.equal(loaded.model.features[28].weight, next(
        value for key, value in trained.items() if key.endswith("28.weight")
    ))  # fmt: skip
