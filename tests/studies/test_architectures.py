"""Architectures: the clip, dead channels over a whole data set, and the first two layers."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, UnmirroredError, architectures
from deconvnet.studies.strongest import strongest

SIZE, IMAGES = 12, 19  # more images than one forward pass takes
PLAIN = Preprocessing((SIZE, SIZE), None, (0.0,) * 3, (1.0,) * 3)
DEAD = {1: [2], 2: [0, 3]}


def net(*, stride=1, dead=DEAD, bands=3, activation=nn.ReLU):
    """Two layers; some channels have a bias that no image overcomes."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(bands, 5, 3, stride=stride, padding=1), activation(), nn.MaxPool2d(2),
        nn.Conv2d(5, 6, 3, padding=1), activation(), nn.Conv2d(6, 2, 1),
    )  # fmt: skip
    with torch.no_grad():
        for number in (1, 2):
            model[3 * number - 3].bias[:] = 1.0
        for number, channels in dead.items():
            model[3 * number - 3].bias[channels] = -1e3
    return model.eval()


def images(bands=3):
    return torch.rand(IMAGES, bands, SIZE, SIZE, generator=torch.Generator().manual_seed(1))


def run(nets, data=None, **options):
    data = images() if data is None else data
    return architectures(nets, data, **{"preprocessing": PLAIN, **options})


def test_the_clip_is_of_whole_filters_and_only_of_those_that_exceed_it():
    model = net()
    with torch.no_grad():
        model[0].weight[1] *= 50
        model[0].weight[3] *= 0.01
    one = run({"a": model}, radius=0.2).nets["a"]
    weights = model[0].weight.detach().numpy()
    norms = np.array([np.linalg.norm(w) for w in weights])  # RMS: norm by the root of 27 taps
    np.testing.assert_allclose(one.rms, norms / np.sqrt(27), rtol=1e-6)
    largest = np.where(norms / np.sqrt(27) > 0.2, 0.2 * np.sqrt(27) / norms, 1.0)
    np.testing.assert_allclose(one.clipped, weights * largest[:, None, None, None], rtol=1e-6)
    torch.testing.assert_close(  # torch's own renorm is of the same law
        torch.from_numpy(one.clipped).float(),
        torch.from_numpy(weights).renorm(2, 0, 0.2 * np.sqrt(27)),
    )
    assert one.exceeding[1]
    assert not one.exceeding[3]
    np.testing.assert_array_equal(one.clipped[3], weights[3])
    assert one.dominance == pytest.approx(norms.max() / np.median(norms), rel=1e-6)
    by_band = np.sqrt(np.square(weights).mean((2, 3)))  # planted: each band of a filter alone
    assert not np.allclose(np.minimum(1, 0.2 / by_band), largest[:, None])


def test_planted_dead_channels_are_counted():
    result = run({"a": net(), "b": net(dead={})})
    for number, layer in enumerate(("1", "4"), start=1):
        assert np.flatnonzero(result.nets["a"].dead[layer]).tolist() == DEAD[number]
        assert not result.nets["b"].dead[layer].any()
    rows = result.table()
    assert [row["dead 1"] for row in rows] == [1 / 5, 0]
    assert [row["dead 2"] for row in rows] == [2 / 6, 0]
    drawn = [one.unit.channel for one in result.nets["a"].exemplars]
    assert drawn == [1, 2, 4, 5]


def test_dead_is_of_the_whole_data_set_and_not_of_one_batch():
    """A channel that only the last image excites is alive."""
    model, data = net(dead={}), images()
    with torch.no_grad():
        model[0].weight[4], model[0].bias[4] = 1.0, -27 * 3.0
    data[-1] = 6.0
    one = run({"a": model}, data).nets["a"]
    assert not one.dead["1"][4]
    with torch.no_grad():
        early = model[:2](data[:8]).amax((0, 2, 3)) > 0
    assert not early[4], "planted: read off the first batch"


def test_the_strongest_units_are_those_of_one_forward_pass():
    model, data = net(), images()
    with torch.no_grad():
        maps = model[:5](data)
    best = strongest(DeconvNet(model), data, ["4"])["4"]
    np.testing.assert_allclose(best.value, maps.amax((0, 2, 3)), rtol=1e-6)
    for channel in (1, 2, 4, 5):
        place = np.unravel_index(int(maps[:, channel].argmax()), maps[:, channel].shape)
        assert (best.image[channel], *best.position[channel]) == place
    for one in run({"a": model}, data).nets["a"].exemplars:
        unit = one.unit
        seed = torch.zeros_like(maps[:1])
        image = data[unit.image : unit.image + 1].clone().requires_grad_()
        seed[0, unit.channel, unit.row, unit.col] = one.activation
        (plain,) = torch.autograd.grad(model[:5](image), image, seed)
        (drawn,) = DeconvNet(model, "gradient").project(
            image.detach(), layer="4", channel=unit.channel, position=(unit.row, unit.col)
        )[None]
        torch.testing.assert_close(drawn, plain)
        assert one.activation == pytest.approx(float(maps.amax((0, 2, 3))[unit.channel]), rel=1e-6)


def test_the_first_layers_are_those_of_the_graph_and_the_models_stay_as_they_were():
    model = net(stride=2)
    before = copy.deepcopy(model.state_dict())
    result = run({"stride 2": DeconvNet(model, "guided"), "stride 1": net()})
    torch.testing.assert_close(model.state_dict(), before)
    one = result.nets["stride 2"]
    assert (one.filters, one.layers, one.stride) == ("0", ("1", "4"), (2, 2))
    assert list(result.rectifiers) == ["guided", "deconvnet"]
    assert result.nets["stride 1"].aliasing == 0, "nothing is above half a cycle per pixel"
    assert one.aliasing > 0.3
    assert 0 < one.artefacts < 1


def test_a_net_whose_second_layer_is_dead_is_drawn():
    result = run({"a": net(dead={2: range(6)})})
    assert result.nets["a"].exemplars == []
    assert np.isnan(result.nets["a"].artefacts)
    result.figure(width=5.0)


@pytest.mark.parametrize("bands", [1, 4])
def test_other_bands_are_drawn(bands, tmp_path):
    plain = Preprocessing((SIZE, SIZE), None, (0.0,) * bands, (1.0,) * bands)
    result = run({"a": net(bands=bands)}, images(bands), preprocessing=plain)
    assert result.nets["a"].weights.shape == (5, bands, 3, 3)
    assert result.save(tmp_path / "a.png", width=5.0, caption=True).is_file()


def test_filters_of_a_picture_share_a_scale():
    """The largest weight of all is white or black, and other filters are paler by as much."""
    model = net()
    with torch.no_grad():
        model[0].weight[1] = 4.0
        model[0].weight[3] = -1.0
    result = run({"a": model}, radius=2.0)
    figure = result.figure(width=6.0)
    raw, clipped = (image.get_array() for image in figure.axes[0].images[:2])
    levels = [set(np.unique(np.asarray(image)[..., 0])) for image in (raw, clipped)]
    grey = [round(255 * (0.5 + 0.5 * share)) for share in (-1 / 4, -1 / 2)]
    assert grey[0] in {int(n) for n in levels[0]}
    assert grey[1] in {int(n) for n in levels[1]}, "the clip has halved the greatest"
    assert {0, 255} & {int(n) for n in levels[0]}


BAD = {
    "a list": (lambda: run([net()]), TypeError, r"a list, expected \{name: net\}"),
    "none": (lambda: run({}), ValueError, "no nets were given"),
    "radius": (lambda: run({"a": net()}, radius=0), ValueError, "radius=0 was given"),
    "NaN": (lambda: run({"a": net()}, radius=float("nan")), ValueError, "radius=nan"),
    "one layer": (lambda: run({"a": net()[:3]}), ValueError, r"convolutions \['0'\] and after"),
    "no images": (lambda: run({"a": net()}, images()[:0]), ValueError, "is empty"),
    "a rule": (lambda: run({"a": net(activation=nn.GELU)}), UnmirroredError, "GELU"),
}


@pytest.mark.parametrize(("call", "kind", "told"), BAD.values(), ids=BAD)
def test_bad_input_is_told_before_any_work(call, kind, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.strongest.values", None)
    with pytest.raises(kind, match=told):
        call()
