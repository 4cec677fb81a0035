"""What ships of a trained network: folded normalisation, weights as a file."""

import copy

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from deconvnet.zoo.embedded_weights import load_classes, load_weights, save_weights
from deconvnet.zoo.folding import fold_batch_norm, renormalise_filters, with_batch_norm
from deconvnet.zoo.zfnet_mini_network import ZFNetMini


@pytest.fixture
def normalised():
    """A small network with batch normalisation whose every number is away from its default."""
    torch.manual_seed(0)
    plain = nn.Sequential(
        nn.Conv2d(3, 5, 3, stride=2), nn.ReLU(), nn.Conv2d(5, 4, 3, padding=1, bias=False)
    )
    model = with_batch_norm(plain).double().eval()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            nn.init.normal_(module.weight)
            nn.init.normal_(module.bias)
            nn.init.normal_(module.running_mean)
            nn.init.uniform_(module.running_var, 0.5, 2)
    return model


def preserved(before, after):
    images = torch.randn(2, 3, 11, 12, dtype=torch.float64)
    return torch.allclose(before(images), after(images), rtol=1e-10, atol=1e-10)


@torch.no_grad()
def test_folding_preserves_the_outputs(normalised):
    folded = fold_batch_norm(normalised)
    assert preserved(normalised, folded)
    assert not any(isinstance(module, nn.BatchNorm2d) for module in folded.modules())
    assert [name for name, _ in folded.named_children()] == ["0", "1", "2"]


@pytest.mark.parametrize("forgotten", ["running_mean", "running_var", "weight", "bias", "eps"])
@torch.no_grad()
def test_folding_catches_a_forgotten_part(normalised, forgotten):
    wrong = fold_batch_norm(_without(normalised, forgotten))
    assert not preserved(normalised, wrong)


def _without(model, part):
    model = copy.deepcopy(model)
    norm = model[0][1]
    if part == "eps":
        norm.eps = 0.0
    else:
        getattr(norm, part).data.fill_(1.0 if part in ("running_var", "weight") else 0.0)
    return model


def test_batch_norm_comes_in_a_copy():
    model = ZFNetMini(3)
    assert isinstance(with_batch_norm(model).conv1, nn.Sequential)
    assert isinstance(model.conv1, nn.Conv2d)


def sizes(convolution):
    return convolution.weight.square().mean(dim=(1, 2, 3)).sqrt()


def test_renormalisation_shrinks_large_filters_and_leaves_small_ones():
    model = nn.Sequential(nn.Conv2d(3, 2, 3))
    with torch.no_grad():
        model[0].weight[0] = 0.3
        model[0].weight[1] = -0.05
    renormalise_filters(model, 0.1)
    assert torch.allclose(sizes(model[0]), torch.tensor([0.1, 0.05]))
    assert torch.allclose(model[0].weight[0], torch.tensor(0.1))
    with pytest.raises(ValueError, match="radius is 0"):
        renormalise_filters(model, 0)


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
    with pytest.raises(FileNotFoundError, match=r"no weights at .*train_zoo\.py"):
        load_weights(tmp_path / "none.safetensors")
