"""timm's ConvNet families by example: blocks that torchvision does not have."""

import pytest
import torch

from tests.support.everywhere import check_network
from tests.support.networks import fill, noise

timm = pytest.importorskip("timm", reason="timm is not installed: pip install deconvnet[test]")

DEFAULT = (
    "resnet10t",  # deep stem, average-pooled shortcuts
    "regnetx_002",
    "hrnet_w18_small",  # scales that are added up and down
    "lcnet_050",
    "tf_efficientnet_lite0",  # "same" padding, computed from sizes
    "convnext_atto",
    "ese_vovnet19b_dw",  # concatenation of all, effective squeeze and excitation
    "dla34",  # trees
    "test_resnet",
)
FAMILIES = (
    "res2net50_14w_8s", "resnetv2_50", "resnetv2_50x1_bit", "densenet121", "regnety_002",
    "nfnet_l0", "dm_nfnet_f0",
    "efficientnet_b0", "tf_efficientnet_b0", "convnextv2_atto", "repvgg_a0", "inception_v4",
    "inception_resnet_v2", "xception41", "legacy_xception", "mobilenetv3_small_050",
    "mobilenetv4_conv_small", "ghostnet_050", "ghostnetv2_100", "rexnet_100", "dpn48b",
    "cspresnet50", "cspdarknet53", "selecsls42", "resnest14d", "skresnet18", "seresnet50",
    "ecaresnet50t", "mixnet_s", "vgg11", "gernet_s", "hgnetv2_b0", "repghostnet_050", "starnet_s1",
    "fasternet_t0", "mobileone_s0", "inception_next_atto", "poolformer_s12", "repvit_m0_9",
    "tresnet_m", "mnasnet_050", "hardcorenas_a", "darknet53", "convmixer_768_32",
)  # fmt: skip
SIZES = {"inception_v4": 96, "inception_resnet_v2": 96, "convmixer_768_32": 56}
MARKED = [*DEFAULT, *(pytest.param(name, marks=pytest.mark.slow) for name in FAMILIES)]


def made(name):
    torch.manual_seed(0)
    model = timm.create_model(name, pretrained=False).double().eval().requires_grad_(False)
    fill(model, torch.Generator().manual_seed(0))
    return model


def test_there_are_enough_families():
    assert len({*DEFAULT, *FAMILIES}) >= 35


# With random weights it makes ten million of a last bit: autograd itself differs by 2e-7 from
# autograd on images that are laid out otherwise.
LOOSE = {"dm_nfnet_f0": 1e-5}


@pytest.mark.parametrize("name", MARKED)
def test_it_is_mirrored(name):
    size = SIZES.get(name, 64)
    check_network(made(name), noise(2, 3, size, size), tolerance=LOOSE.get(name, 1e-10))
