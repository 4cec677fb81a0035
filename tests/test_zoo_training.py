"""What trains the embedded network: made-up views, folded normalisation, weights as a file."""

import copy
import importlib.util
import sys
from pathlib import Path

import pytest
import torch
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from torch import nn

from deconvnet.zoo.collage import Collage
from deconvnet.zoo.folding import fold_batch_norm, renormalise_filters, with_batch_norm
from deconvnet.zoo.network import ZFNetMini
from deconvnet.zoo.weights import load_about, load_classes, load_weights, save_weights

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_zoo.py"


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


@pytest.fixture
def folders(tmp_path):
    """Two objects in two folders, a disc and a square, and one photograph."""
    for name, shape in (("round/disc", "ellipse"), ("angular/square", "rectangle")):
        picture = Image.new("RGBA", (144, 100))
        getattr(ImageDraw.Draw(picture), shape)((10, 10, 90, 90), fill=(200, 40, 40, 255))
        file = tmp_path / "objects" / f"{name}.png"
        file.parent.mkdir(parents=True)
        picture.save(file)
    (tmp_path / "photos").mkdir()
    night = Image.linear_gradient("L").point(lambda grey: grey // 4)
    night.convert("RGB").save(tmp_path / "photos" / "night.png")
    return tmp_path / "objects", tmp_path / "photos"


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


def test_views_follow_from_the_seed(folders):
    collage = Collage(*folders)
    assert collage.names == ["angular/square", "round/disc"]
    images, labels = collage.batch(6, torch.Generator().manual_seed(1))
    again, same = collage.batch(6, torch.Generator().manual_seed(1))
    other, _ = collage.batch(6, torch.Generator().manual_seed(2))
    assert images.shape == (6, 3, 96, 96)
    assert torch.equal(images, again)
    assert torch.equal(labels, same)
    assert not torch.equal(images, other)
    assert 0 <= images.min() < images.max() <= 1


def red(images):
    """The share of each view that shows something red: only the objects are."""
    return (images[:, 0] - images[:, 2] > 0.2).flatten(1).float().mean(dim=1)


def test_views_show_their_object(folders):
    collage = Collage(*folders)
    images, labels = collage.batch(64, torch.Generator().manual_seed(0))
    coloured = (images[:, 0] != images[:, 2]).flatten(1).any(dim=1)
    shares = red(images[coloured])
    assert 32 < coloured.sum() < 60  # the others are grey on purpose
    assert ((shares > 0.02) & (shares < 0.95)).float().mean() > 0.9  # an object, and not only it
    assert set(labels.tolist()) == {0, 1}
    collage._objects = torch.zeros_like(collage._objects)
    blank, _ = collage.batch(64, torch.Generator().manual_seed(0))
    assert red(blank).max() == 0


def test_folders_without_pictures_are_refused(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="no picture in"):
        Collage(tmp_path / "empty", folders[1])
    with pytest.raises(FileNotFoundError, match="400 pixels high and wide"):
        Collage(*folders, size=400)


@pytest.fixture
def trained(folders, tmp_path, monkeypatch):
    """A function from a seed to the file of a network hardly trained."""
    spec = importlib.util.spec_from_file_location("train_zoo", SCRIPT)
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    for name in ("BATCH", "STATISTICS", "EXAMINED"):
        monkeypatch.setattr(script, name, 4)

    def train(seed, file):
        out = tmp_path / file
        data = f"--objects {folders[0]} --backgrounds {folders[1]}"
        arguments = f"train_zoo.py {data} --out {out} --epochs 0.1 --seed {seed}"
        monkeypatch.setattr(sys, "argv", arguments.split())
        script.main()
        return out

    return train


def test_the_script_trains_and_writes_a_plain_network(trained):
    out = trained(0, "w.safetensors")
    ZFNetMini(2).load_state_dict(load_weights(out))
    about = load_about(out)
    assert about["steps"] == 4
    assert about["held_out_views"] == 16
    assert 0 <= about["held_out_accuracy"] <= 1
    assert set(about["dead_channels"]) == {f"relu{n}" for n in range(1, 6)}


def test_a_seed_decides_the_training(trained):
    one, same, other = (
        load_weights(trained(seed, f"{n}.safetensors")) for n, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv5.weight"], other["conv5.weight"])
