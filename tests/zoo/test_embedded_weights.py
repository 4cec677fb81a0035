"""Weights as a file: float16 on disk, float32 in memory, class names in the same file."""

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deconvnet.zoo.embedded_weights import load_classes, load_weights, save_weights
from deconvnet.zoo.zfnet_mini_network import ZFNetMini


def test_weights_return_as_float32_with_their_names(tmp_path):
    model, file = ZFNetMini(2), tmp_path / "new" / "w.safetensors"
    save_weights(model, file, classes=["a", "b"], about={"steps": 3})
    state = load_weights(file)
    assert load_classes(file) == ["a", "b"]
    for name, value in model.state_dict().items():
        assert state[name].dtype == torch.float32
        assert torch.equal(state[name], value.half().float())
    assert [f.name for f in file.parent.iterdir()] == ["w.safetensors"]


def test_the_same_weights_are_the_same_bytes(tmp_path):
    def written(model, name):
        save_weights(model, tmp_path / name, classes=["ä", "b"], about={"steps": 3})
        return (tmp_path / name).read_bytes()

    torch.manual_seed(0)
    model = ZFNetMini(2)
    files = {written(model, f"{n}.safetensors") for n in range(8)}
    assert len(files) == 1  # safetensors alone would give two, one in two times each
    assert load_classes(tmp_path / "0.safetensors") == ["ä", "b"]
    model.conv1.bias.data += 1
    assert written(model, "other.safetensors") not in files


def test_weights_float16_cannot_hold_are_refused(tmp_path):
    model, file = nn.Linear(2, 1), tmp_path / "w.safetensors"
    file.write_bytes(b"old")
    nn.init.constant_(model.bias, 1e6)
    with pytest.raises(ValueError, match="bias holds values"):
        save_weights(model, file, classes=["a"], about={})
    assert file.read_bytes() == b"old"


def test_foreign_weights_name_no_classes(tmp_path):
    file = tmp_path / "w.safetensors"
    save_file({"bias": torch.zeros(1)}, file)
    with pytest.raises(ValueError, match="holds no 'classes'"):
        load_classes(file)


def test_missing_weights_name_the_remedy(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no weights at .*train\.py"):
        load_weights(tmp_path / "none.safetensors")
