"""Models and data sets by a word: what is built, with which preprocessing; what is refused."""

import sys
import textwrap

import pytest
import torch
from PIL import Image
from torchvision import models as torchvision_models

from deconvnet import zoo
from deconvnet.data import Preprocessing
from deconvnet.zoo.load import _preset, load

NET = """
    import torch
    from torch import nn

    def make():
        return nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))

    class Net(nn.Sequential):
        def __init__(self):
            super().__init__(nn.Conv2d(3, 4, 3))

    def photographs():
        return [torch.zeros(3, 8, 8)] * 3

    def needs(size):
        return nn.ReLU()

    def number():
        return 7

    wide = 5
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "net.py"
    path.write_text(textwrap.dedent(NET))
    yield str(path)
    sys.modules.pop("net", None)


@pytest.fixture
def package(tmp_path, monkeypatch):
    (tmp_path / "made_here").mkdir()
    (tmp_path / "made_here" / "nets.py").write_text(textwrap.dedent(NET))
    monkeypatch.syspath_prepend(tmp_path)
    yield "made_here.nets"
    for name in ("made_here.nets", "made_here"):
        sys.modules.pop(name, None)


# --- specs ------------------------------------------------------------------------------------


def test_torchvision_without_weights_is_random_and_says_so():
    with pytest.warns(UserWarning, match="squeezenet1_1 has random weights; give --weights"):
        one = load("torchvision:squeezenet1_1")
    with pytest.warns(UserWarning, match="random"):
        other = load("torchvision:squeezenet1_1")
    assert (one.spec, one.weights, one.untrained) == ("torchvision:squeezenet1_1", "", ())
    assert not one.model.training
    pairs = zip(one.model.parameters(), other.model.parameters(), strict=True)
    assert all(torch.equal(a, b) for a, b in pairs)


def test_a_model_of_timm_with_its_own_preprocessing():
    timm = pytest.importorskip("timm")
    with pytest.warns(UserWarning, match="timm:test_resnet has random weights"):
        loaded = load("timm:test_resnet")
    config = timm.create_model("test_resnet").pretrained_cfg
    assert loaded.preprocessing.size == tuple(config["input_size"][1:])
    assert loaded.preprocessing.mean == tuple(config["mean"])
    assert loaded.stated
    with pytest.raises(ValueError, match="timm has no 'test_resnett'; the nearest are test_resnet"):
        load("timm:test_resnett")


def test_timm_is_asked_for_where_it_is_needed(monkeypatch):
    monkeypatch.setitem(sys.modules, "timm", None)
    with pytest.raises(ImportError, match="not installed here .* run `pip install timm`"):
        load("timm:resnet18")


def test_building_a_model_leaves_the_random_numbers():
    before = torch.get_rng_state()
    with pytest.warns(UserWarning, match="random"):
        load("torchvision:squeezenet1_1")
    assert torch.equal(torch.get_rng_state(), before)


def test_zoo():
    loaded = load("zoo:zfnet_mini")
    assert loaded.preprocessing == zoo.PREPROCESSING
    assert torch.equal(loaded.model.conv1.weight, zoo.zfnet_mini().conv1.weight)
    assert loaded.trained("classifier")


def test_a_file_and_a_package(file, package):
    for spec in (f"{file}:make", f"{file}:Net", f"{package}:make", f"{package}:Net"):
        loaded = load(spec)
        assert loaded.spec == spec
        assert loaded.model[0].weight.shape == (4, 3, 3, 3)
        assert loaded.preprocessing == Preprocessing.imagenet()
        assert not loaded.model.training


def test_preprocessing_is_replaced_field_by_field(file):
    changed = {"mean": (0.5, 0.5, 0.5), "std": None, "size": (64, 64), "resize": 64}
    found = load(f"{file}:make", preprocessing=changed).preprocessing
    assert found == Preprocessing((64, 64), 64, (0.5, 0.5, 0.5))


@pytest.mark.parametrize(
    ("spec", "kind", "message"),
    [
        ("vgg16", ValueError, "'vgg16' is no model; write torchvision:NAME"),
        ("torchvision:", ValueError, "is no model"),
        (":vgg16", ValueError, "is no model"),
        ("torchvision:vgg61", ValueError, "torchvision has no 'vgg61'; the nearest are vgg1"),
        ("zoo:alexnet", ValueError, "the zoo has no 'alexnet'; it has zfnet_mini"),
        ("nowhere.nets:make", ValueError, "'nowhere.nets' cannot be imported.*nowhere"),
        ("/none/net.py:make", FileNotFoundError, "there is no file '/none/net.py'"),
        ("FILE:mkae", ValueError, "has no function 'mkae'; it has .*make"),
        ("FILE:wide", ValueError, "has no function 'wide'"),
        ("FILE:number", ValueError, "returned int, expected a torch module"),
        ("FILE:needs", ValueError, r"needs\(\) failed, TypeError: .*size.*without arguments"),
    ],
)
def test_wrong_specs(file, spec, kind, message):
    with pytest.raises(kind, match=message):
        load(spec.replace("FILE", file))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("def make(:", "cannot be imported, SyntaxError"),
        ("1 / 0", "cannot be imported, ZeroDivisionError"),
        ("import nothing_of_this_name", "No module named 'nothing_of_this_name'"),
        ("def make():\n    assert False, 'no GPU'", r"make\(\) failed, AssertionError: no GPU"),
    ],
)
def test_files_that_fail(tmp_path, text, message):
    (tmp_path / "failing.py").write_text(text)
    with pytest.raises(ValueError, match=message):
        load(f"{tmp_path}/failing.py:make")


def test_only_torchvision_has_default_weights(file):
    for spec in ("zoo:zfnet_mini", f"{file}:make"):
        with pytest.raises(ValueError, match="only torchvision: and timm: models"):
            load(spec, "DEFAULT")


def test_weights_that_cannot_be_downloaded(monkeypatch, tmp_path):
    def refuse(*_, **__):
        raise OSError("no route to host")

    monkeypatch.setattr("torch.hub.download_url_to_file", refuse)
    monkeypatch.setattr("torch.hub.get_dir", lambda: str(tmp_path))
    with pytest.raises(ValueError, match="could not be downloaded .no route.*--weights FILE"):
        load("torchvision:squeezenet1_1", "DEFAULT")


# --- preprocessing ----------------------------------------------------------------------------


def test_every_torchvision_model_has_a_preprocessing():
    for name in torchvision_models.list_models():
        weights = torchvision_models.get_model_weights(name).DEFAULT
        assert isinstance(_preset(weights), Preprocessing)


@pytest.mark.parametrize(
    ("name", "size", "resize", "interpolation"),
    [
        ("vgg16", 224, 256, "bilinear"),
        ("resnet50", 224, 232, "bilinear"),
        ("inception_v3", 299, 342, "bilinear"),
        ("efficientnet_b0", 224, 256, "bicubic"),
        ("fcn_resnet50", 224, 256, "bilinear"),  # of segmentation: no crop
    ],
)
def test_torchvisions_presets(name, size, resize, interpolation):
    found = _preset(torchvision_models.get_model_weights(name).DEFAULT)
    assert (found.size, found.resize) == ((size, size), resize)
    assert found.interpolation == interpolation


def test_the_preset_of_videos():
    own = _preset(torchvision_models.get_model_weights("r3d_18").DEFAULT)
    assert (own.shape, own.resize) == ((3, 16, 112, 112), None)
    assert own.mean == (0.43216, 0.394666, 0.37645)


def test_a_preset_gives_torchvisions_own_tensor():
    weights = torchvision_models.get_model_weights("resnet50").DEFAULT
    noise = torch.randint(256, (250, 330, 3), generator=torch.Generator().manual_seed(0))
    photograph = Image.fromarray(noise.byte().numpy())
    expected = weights.transforms()(photograph)
    assert torch.equal(_preset(weights)(photograph), expected)
    other = _preset(torchvision_models.get_model_weights("vgg16").DEFAULT)
    assert not torch.equal(other(photograph), expected)


def test_torchvisions_weights_by_name(monkeypatch):
    taken = []

    def own(weights, **_):
        taken.append(str(weights))
        return torchvision_models.mobilenet_v2().state_dict()

    monkeypatch.setattr("torchvision.models._api.WeightsEnum.get_state_dict", own)
    monkeypatch.setattr("deconvnet.zoo.load.load_state_dict", None)  # no file is read
    first = load("torchvision:mobilenet_v2", "IMAGENET1K_V1")
    best = load("torchvision:mobilenet_v2", "DEFAULT")
    assert (first.preprocessing.resize, best.preprocessing.resize) == (256, 232)
    assert taken == [f"MobileNet_V2_Weights.IMAGENET1K_V{n}" for n in (1, 2)]


def test_a_factory_may_say_its_preprocessing(tmp_path):
    (tmp_path / "own.py").write_text(
        "from torch import nn\n"
        "from torchvision.models import ResNet50_Weights\n"
        "from deconvnet import Preprocessing\n"
        "def make():\n"
        "    model = nn.Conv2d(3, 2, 3)\n"
        "    model.preprocessing = Preprocessing.from_weights(ResNet50_Weights.DEFAULT)\n"
        "    return model\n"
    )
    assert load(f"{tmp_path}/own.py:make").preprocessing == Preprocessing((224, 224), 232)
    sys.modules.pop("own", None)


# --- images of other channels and axes -------------------------------------------------------

OWN = {
    "grey": ("nn.Conv2d(1, 4, 3)", (1, 224, 224), {"size": (28,)}, (1, 28, 28)),
    "channels in the size": (
        "nn.Conv2d(1, 4, 3)",
        (1, 224, 224),
        {"size": (1, 28, 32)},
        (1, 28, 32),
    ),
    "four": ("nn.Conv2d(4, 4, 3)", (4, 224, 224), {"mean": (0.5,)}, (4, 224, 224)),
    "signal": ("nn.Conv1d(2, 4, 3)", (2, 224), {"size": (64,)}, (2, 64)),
    "video": ("nn.Conv3d(3, 4, 3)", (3, 16, 112, 112), {"size": (8, 24, 20)}, (3, 8, 24, 20)),
}


@pytest.mark.parametrize(("text", "usually", "changed", "then"), OWN.values(), ids=OWN.keys())
def test_channels_and_axes_are_read_off_the_model(tmp_path, text, usually, changed, then):
    file = tmp_path / "models.py"
    file.write_text(f"from torch import nn\ndef model(): return nn.Sequential({text})\n")
    loaded = load(f"{file}:model")
    assert (loaded.shape, loaded.preprocessing.shape, loaded.stated) == (usually, usually, False)
    assert not hasattr(loaded.model, "preprocessing"), "nobody stated one"
    again = load(f"{file}:model", preprocessing=changed)
    assert again.shape == then
    assert again.stated == ("mean" in changed)
    assert set(again.preprocessing.std) == {1.0}, "images in [0, 1], as they are"


def test_a_size_or_a_mean_that_does_not_fit(tmp_path):
    file = tmp_path / "models.py"
    file.write_text("from torch import nn\ndef model(): return nn.Conv2d(4, 4, 3)\n")
    with pytest.raises(ValueError, match="size was 1x2x3x4, and .* have 2 axes; give 28, 28x28"):
        load(f"{file}:model", preprocessing={"size": (1, 2, 3, 4)})
    with pytest.raises(ValueError, match="3 numbers were given as std, expected 1 or 4"):
        load(f"{file}:model", preprocessing={"std": (1.0, 1.0, 1.0)})
