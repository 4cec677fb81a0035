"""The signal on its way down, against autograd's derivatives by the values of every node."""

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, Unit, UnmirroredError
from deconvnet.studies.trace import MOST, trace

SIZE = (24, 20)
PREPARED = Preprocessing(SIZE, None, (0.5,) * 3, (0.5,) * 3)
IMAGE = np.random.default_rng(0).integers(0, 256, (*SIZE, 3), dtype=np.uint8)
LAYERS = ("conv1", "relu1", "pool1", "conv2", "relu2", "pool2", "conv3", "relu3")


class Net(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        for number, (channels, more) in enumerate(((3, 6), (6, 5), (5, 4)), start=1):
            self.add_module(f"conv{number}", nn.Conv2d(channels, more, 3, padding=1))
            self.add_module(f"relu{number}", nn.ReLU())
            if number < 3:
                self.add_module(f"pool{number}", nn.MaxPool2d(3, stride=2))
        self.eval()


def values_of(model, image):
    """{node: its value} of a plain forward pass, with autograd's graph."""
    values, x = {}, image[None].clone().requires_grad_()
    values["input"] = x
    for name, module in model.named_children():
        x = values[name] = module(x)
    return values


def test_the_signals_are_the_derivatives_of_the_unit():
    model = Net()
    result = trace(model, IMAGE, "relu3:3", rectifier="gradient", preprocessing=PREPARED)
    values = values_of(model, PREPARED(_picture()))
    unit = result.unit
    top = values["relu3"][0, 3]
    strongest = float(top.detach().max())
    assert unit.position == divmod(int(top.argmax()), top.shape[-1])
    assert result.activation == pytest.approx(strongest, rel=1e-6)
    assert [node.name for node in result.nodes] == [*LAYERS[::-1], "input"]
    for node in result.nodes[1:]:
        (slope,) = torch.autograd.grad(top.max(), values[node.name], retain_graph=True)
        expected = (slope * strongest)[0].detach()
        assert node.norm == pytest.approx(float(expected.norm()), rel=1e-5)
        assert np.allclose(node.strength, expected.norm(dim=0), atol=1e-6)
        if node.channel is not None:
            assert np.allclose(node.signal, expected[node.channel], atol=1e-6)
            assert np.allclose(
                node.activation, values[node.name][0, node.channel].detach(), atol=1e-6
            )
        live = expected[expected != 0]
        assert node.reached == pytest.approx(live.numel() / expected.numel())
        assert node.negative == pytest.approx(float((live < 0).float().mean()), abs=1e-6)
    assert np.allclose(result.nodes[-1].signal, expected.movedim(0, -1), atol=1e-6)
    assert np.allclose(result.nodes[-1].activation, IMAGE / 255, atol=1e-6)


def _picture():
    from PIL import Image

    return Image.fromarray(IMAGE)


def test_each_rule_is_seen_at_the_activations():
    """Below a rectifier, deconvnet leaves nothing negative, guided nothing where z was negative."""
    shown = {
        rule: {
            n.name: n
            for n in trace(Net(), IMAGE, "relu3:3", rectifier=rule, preprocessing=PREPARED).nodes
        }
        for rule in ("gradient", "deconvnet", "guided")
    }
    for conv in ("conv1", "conv2"):
        assert shown["gradient"][conv].negative > 0
        assert shown["deconvnet"][conv].negative == shown["guided"][conv].negative == 0
        for rule in ("gradient", "guided"):
            assert not shown[rule][conv].signal[shown[rule][conv].activation <= 0].any()
    assert shown["deconvnet"]["relu1"].negative > 0


def test_a_block_shows_one_channel():
    nodes = {n.name: n for n in trace(Net(), IMAGE, "relu3:3", preprocessing=PREPARED).nodes}
    for number in (1, 2):
        block = {nodes[f"{kind}{number}"].channel for kind in ("pool", "relu", "conv")}
        assert len(block) == 1
    assert nodes["conv3"].channel == nodes["relu3"].channel == 3
    assert nodes["input"].channel is None
    assert nodes["conv1"].signal.any()  # the strongest, so that it is not empty


def test_switches_stand_where_the_maxima_stood():
    model = Net()
    nodes = {n.name: n for n in trace(model, IMAGE, "relu3:3", preprocessing=PREPARED).nodes}
    values = values_of(model, PREPARED(_picture()))
    for pool, below in (("pool1", "relu1"), ("pool2", "relu2")):
        node = nodes[pool]
        maps = values[below][:, node.channel][None]
        _, places = torch.nn.functional.max_pool2d(maps, 3, stride=2, return_indices=True)
        marked = np.zeros(maps.numel(), int)
        marked[places.flatten()] = 1
        assert np.array_equal(node.switches > 0, marked.reshape(maps.shape[2:]) > 0)
        passing = node.switches == 2
        assert np.array_equal(passing, nodes[below].signal != 0)
        assert passing.any()
    assert nodes["relu1"].switches is None


def test_what_is_done_between_two_nodes_is_told():
    result = trace(Net(), IMAGE, "relu3:3", rectifier="guided", preprocessing=PREPARED)
    told = {node.name: node.mirror for node in result.nodes}
    assert told["pool1"] == "unpool: each value to its switch"
    assert told["conv2"] == "the same filters, transposed"
    assert told["relu2"].startswith("guided: ")
    assert told["input"] == ""
    some = trace(Net(), IMAGE, "relu3:3", nodes=["pool1", "conv3"], preprocessing=PREPARED)
    assert [node.name for node in some.nodes] == ["relu3", "conv3", "pool1", "input"]
    assert some.nodes[1].mirror == "4 nodes: Conv2d, MaxPool2d, ReLU"


class Deep(nn.Sequential):
    def __init__(self):
        torch.manual_seed(0)
        blocks = [
            nn.Sequential(
                nn.Conv2d(3, 3, 3, padding=1, stride=1 + (n % 5 == 4)), nn.BatchNorm2d(3), nn.ReLU()
            )
            for n in range(12)
        ]
        super().__init__(*blocks)
        self.eval()


def test_a_deep_network_is_shown_where_sizes_change():
    result = trace(Deep(), IMAGE, "11.0:1", rectifier="identity", preprocessing=PREPARED)
    assert len(result.nodes) <= MOST + 2
    assert [node.name for node in result.nodes] == ["11.0", "9.0", "4.0", "input"]
    assert [node.size[1:] for node in result.nodes] == [(6, 5), (6, 5), (12, 10), (24, 20)]


class Flat(nn.Module):
    """Two paths that meet, and units without positions."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.conv, self.other = nn.Conv2d(3, 4, 3), nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4, 7)

    def forward(self, x):
        y = self.conv(x).relu() + self.other(x)
        return self.fc(y.amax((2, 3)))


def test_paths_that_meet_and_units_without_positions():
    result = trace(
        Flat().eval(), IMAGE, Unit("fc", 5), rectifier="gradient", preprocessing=PREPARED
    )
    names = [node.name for node in result.nodes]
    assert names[0] == "fc"
    assert {"conv", "other", "relu", "add"} <= set(names)
    assert result.unit == Unit("fc", 5)
    assert result.nodes[0].channel is None
    assert result.nodes[0].signal.shape == (3, 3)
    assert np.flatnonzero(result.nodes[0].signal).tolist() == [5]
    assert result.box.edges == (0, 0, *SIZE)
    result.figure()


def test_it_takes_a_net_and_its_rule():
    net = DeconvNet(Net(), "guided")
    assert trace(net, IMAGE, "relu3:3", preprocessing=PREPARED).rectifier == "guided"
    one = trace(net, IMAGE, Unit("relu2", 3), rectifier="identity", preprocessing=PREPARED)
    assert (one.rectifier, str(one.unit)) == ("identity", f"relu2:3@{one.unit.row},{one.unit.col}")
    assert one.nodes[0].name == "relu2"


@pytest.mark.parametrize(
    ("image", "unit", "more", "error", "text"),
    [
        ([IMAGE, IMAGE], "relu3:3", {}, ValueError, "2 images.*trace follows one image"),
        (IMAGE, Unit("relu3", 3, image=1), {}, ValueError, "trace follows one image"),
        (IMAGE, "relu3:2", {}, ValueError, "relu3:2@0,0 is 0 in image 0.*choose a unit that fires"),
        (IMAGE, "relu3", {}, ValueError, "is no unit"),
        (IMAGE, "relu9:1", {}, KeyError, "no layer is called 'relu9'"),
        (IMAGE, "relu3:9", {}, IndexError, "no channel 9"),
        (IMAGE, "relu2:1", {"nodes": "relu3"}, ValueError, "no signal of relu2:1 comes to relu3"),
        (IMAGE, "relu2:1", {"rectifier": "guide"}, ValueError, "no rectifier is called 'guide'"),
    ],
)  # fmt: skip
def test_bad_input_is_told(image, unit, more, error, text):
    with pytest.raises(error, match=text):
        trace(Net(), image, unit, preprocessing=PREPARED, **more)


def test_an_activation_without_a_rule_is_told():
    with pytest.raises(UnmirroredError, match="GELU"):
        trace(Net().append(nn.GELU()), IMAGE, "8:0", rectifier="guided", preprocessing=PREPARED)


def test_its_table_and_its_figure(tmp_path):
    result = trace(Net(), IMAGE, "relu3:3", preprocessing=PREPARED)
    assert [row["node"] for row in result.table()] == [*LAYERS[::-1], "input"]
    assert result.table()[0]["size"] == (4, 5, 4)
    assert result.save(tmp_path / "trace.pdf", width="cvpr").stat().st_size > 10_000
    assert result._repr_png_()[:4] == b"\x89PNG"


@pytest.mark.parametrize(
    ("axes", "size"),
    [(2, (1, 28, 28)), (2, (5, 28, 28)), (1, (2, 64)), (3, (3, 8, 20, 20))],
    ids=["grey", "five bands", "1-D", "video"],
)
def test_any_axes_and_bands_without_a_preprocessing(axes, size):
    """One band is shown, of the tensor itself: no colours have to be known for it."""
    torch.manual_seed(0)
    conv, pool = getattr(nn, f"Conv{axes}d"), getattr(nn, f"MaxPool{axes}d")
    model = nn.Sequential(conv(size[0], 4, 3), nn.ReLU(), pool(2), conv(4, 3, 3)).eval()
    image = torch.rand(size)
    result = trace(model, image, "3:1", rectifier="gradient")
    last = result.nodes[-1]
    assert last.size == size
    assert last.activation.ndim == last.signal.ndim == 2
    assert any(np.isin(last.activation, band).all() for band in image.numpy())
    assert last.norm > 0
    assert result._repr_png_()[:4] == b"\x89PNG"
