"""One rule of preprocessing: the argument, else the data's, else the net's, else the store's."""

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn
from torch.utils.data import Subset
from torchvision import models
from torchvision.transforms import CenterCrop, Compose, Normalize, Resize, ToTensor, v2

from deconvnet import DeconvNet, Preprocessing
from deconvnet.data import Transform
from deconvnet.data.pictures import RANGE
from deconvnet.data.resolve import accepted, known_preprocessing, needed_preprocessing

timm = pytest.importorskip("timm")
from timm.data import create_transform, resolve_data_config  # noqa: E402

MEAN, STD = (0.1, 0.2, 0.3), (0.5, 0.6, 0.7)
STATED, OF_DATA, OF_NET, OF_STORE = (Preprocessing((8, 8), resize) for resize in (8, 9, 10, 11))


def photograph(width, height):
    pixels = np.random.default_rng(0).integers(0, 256, (height // 4, width // 4, 3), np.uint8)
    return Image.fromarray(pixels).resize((width, height), Image.Resampling.BICUBIC)


class Images(list):
    """A data set with whatever attributes it is given."""

    def __init__(self, **attributes):
        super().__init__()
        self.__dict__.update(attributes)


def net(**arguments):
    return DeconvNet(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()).eval(), **arguments)


def test_the_order_of_who_says_it():
    facts = {"transform": OF_STORE.to_json()}
    said = {"data": Images(preprocessing=OF_DATA), "model": net(preprocessing=OF_NET)}
    assert known_preprocessing(STATED, **said, attributes=facts) == STATED
    assert known_preprocessing(**said, attributes=facts) == OF_DATA
    assert known_preprocessing(model=said["model"], attributes=facts) == OF_NET
    assert known_preprocessing(model=net(), attributes=facts) == OF_STORE
    assert known_preprocessing(model=net(), attributes={"transform": "unknown"}) is None


def test_a_net_has_its_own_else_its_models():
    own = net()
    assert own.preprocessing is None
    own.model.preprocessing = OF_NET
    assert own.preprocessing == own.with_rectifier("guided").preprocessing == OF_NET
    stated = DeconvNet(own.model, preprocessing=STATED)
    assert stated.preprocessing == stated.with_rectifier("guided").preprocessing == STATED
    assert next(iter(stated.layers.values())).size == (6, 6), "the size of its images"


def test_without_any_the_error_says_how_to_give_it():
    with pytest.raises(ValueError, match="no preproc.*Preprocessing.*timm.*DeconvNet.*--mean"):
        needed_preprocessing(None, model=net())
    with pytest.raises(TypeError, match="preprocessing='imagenet' was given, expected"):
        net(preprocessing="imagenet")
    with pytest.raises(TypeError, match="expected"):
        accepted(Preprocessing)


def test_a_part_of_the_model_is_no_preprocessing_of_files():
    holder = nn.Sequential(nn.Conv2d(3, 4, 3))
    holder.preprocessing = nn.Sequential(nn.Identity())
    assert known_preprocessing(model=holder) is None


def test_a_subset_says_what_its_data_set_says():
    whole = Images(preprocessing=OF_DATA)
    assert known_preprocessing(data=Subset(Subset(whole, []), [])) == OF_DATA
    assert known_preprocessing(data=Subset(Images(), [])) is None


# --- in what forms it is taken ----------------------------------------------------------------

TIMM = {
    "centre": {"input_size": (3, 32, 32), "crop_pct": 0.9, "interpolation": "bicubic"},
    "without crop_pct": {"input_size": (3, 30, 30), "interpolation": "bilinear"},
    "squash": {"input_size": (3, 32, 32), "crop_pct": 1.0, "crop_mode": "squash"},
    "border": {"input_size": (3, 32, 32), "crop_pct": 0.9, "crop_mode": "border"},
    "lanczos": {"input_size": (3, 32, 32), "interpolation": "lanczos"},
    "rectangle": {"input_size": (3, 32, 40), "crop_pct": 0.9, "interpolation": "bicubic"},
}


@pytest.mark.parametrize("config", TIMM.values(), ids=TIMM.keys())
def test_timms_configuration_equals_timms_own_transform(config):
    config = {**config, "mean": MEAN, "std": STD}
    ours, theirs = accepted(config), create_transform(**config)
    for size in [(61, 40), (40, 61), (64, 64)]:
        image = photograph(*size)
        assert torch.equal(ours(image), theirs(image))
    wrong = accepted({**config, "crop_pct": 0.5})
    assert not torch.equal(wrong(image), theirs(image))


def test_timms_models_say_theirs():
    model = timm.create_model("resnet18", pretrained=False)
    config = resolve_data_config(model=model)
    assert accepted(model.pretrained_cfg) == accepted(config) == DeconvNet(model).preprocessing
    assert accepted(config).shape == (3, 224, 224)


@pytest.mark.parametrize("whole", [True, False])
def test_torchvisions_weights_and_their_transforms(whole):
    weights = models.AlexNet_Weights.DEFAULT
    found = accepted(weights if whole else weights.transforms())
    assert found == Preprocessing.from_weights(weights)
    image = photograph(300, 260)
    assert torch.equal(found(image), weights.transforms()(image))


def test_torchvisions_weights_of_other_tasks():
    weights = models.segmentation.FCN_ResNet50_Weights.DEFAULT
    found, image = accepted(weights), photograph(600, 520)
    assert torch.equal(found(image), weights.transforms()(image))
    np.testing.assert_allclose(found.picture(found(image)), np.asarray(image) / 255, atol=1e-6)
    video = accepted(models.video.R3D_18_Weights.DEFAULT)
    frames = torch.rand(4, 3, 128, 171)
    made = video(frames)
    assert made.shape == (3, 4, 112, 112)
    np.testing.assert_allclose(video.picture(made).mean(), float(frames.mean()), atol=0.01)


CHAINS = {
    "torchvision": Compose([Resize(20), CenterCrop(16), ToTensor(), Normalize(MEAN, STD)]),
    "v2": v2.Compose(
        [v2.CenterCrop(16), v2.ToImage(), v2.ToDtype(torch.float32, scale=True)]
        + [v2.Normalize(MEAN, STD)]
    ),
}


@pytest.mark.parametrize("chain", CHAINS.values(), ids=CHAINS.keys())
def test_of_a_chain_that_ends_in_normalize_the_inverse_is_known(chain):
    found, image = accepted(chain), photograph(20, 20)
    assert torch.equal(found(image), torch.as_tensor(chain(image)))
    expected = np.asarray(CenterCrop(16)(image)) / 255
    np.testing.assert_allclose(found.picture(found(image)), expected, atol=1e-6)
    assert not found.note
    assert known_preprocessing(data=Images(transform=chain)).note == ""
    wrong = Transform(chain, inverse=lambda x: x)
    assert np.abs(wrong.picture(found(image)) - expected).max() > 0.1


def test_a_chain_whose_pixels_are_not_scaled_has_no_known_inverse():
    unscaled = v2.Compose([v2.ToImage(), v2.ToDtype(torch.float32), v2.Normalize([9.0], [9.0])])
    after = Compose([ToTensor(), Normalize(MEAN, STD), v2.Lambda(abs)])
    assert accepted(unscaled).note == accepted(after).note == RANGE
    assert known_preprocessing(data=Images(transform=after)) is None


def minus_one_to_one(image):
    return torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1


def test_a_callable_with_and_without_an_inverse():
    image = photograph(20, 16)
    exact = Transform(minus_one_to_one, inverse=lambda x: (x + 1) / 2)
    np.testing.assert_allclose(exact.picture(exact(image)), np.asarray(image) / 255, atol=1e-6)
    ranged = accepted(minus_one_to_one)
    drawn = ranged.picture(ranged(image))
    assert (ranged.note, exact.note) == (RANGE, "")
    assert (drawn.min(), drawn.max()) == (0, 1)
    pixels = np.asarray(image, "f8")
    np.testing.assert_allclose(
        drawn, (pixels - pixels.min()) / (pixels.max() - pixels.min()), atol=1e-5
    )
    assert ranged.picture(torch.full((3, 2, 2), 7.0)).max() == 0, "one value: no division by 0"
    assert exact.to_json() == f"{__name__}.minus_one_to_one"
    minus_one_to_one.inverse = lambda x: (x + 1) / 2
    assert accepted(minus_one_to_one).note == ""
    del minus_one_to_one.inverse


def test_callables_that_return_something_else():
    with pytest.raises(TypeError, match=r"returned .*uint8 \(3, 4, 4\), expected a float"):
        Transform(lambda image: torch.zeros(3, 4, 4, dtype=torch.uint8))(photograph(4, 4))
    with pytest.raises(ValueError, match=r"inverse returned a shape of \(4, 4\)"):
        Transform(minus_one_to_one, inverse=lambda x: x[0]).pixels(torch.zeros(3, 4, 4))
