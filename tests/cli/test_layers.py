"""``deconvnet layers``: kinds, boxes, and whether the policy has a rule, without running it."""

import json

import pytest
import torch

from deconvnet import DeconvNet, UnmirroredError
from deconvnet.layers import Policies, rectifier
from deconvnet.projection import receptive_field, unruled
from deconvnet.zoo.load import load
from tests.support.commands import said
from tests.support.networks import network

pytestmark = pytest.mark.filterwarnings("default")
NETS = """
from torch import nn

class Branching(nn.Module):
    def __init__(self):
        super().__init__()
        self.stem = nn.Conv2d(3, 4, 3, stride=2)
        self.smooth = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.GELU())
        self.sharp = nn.Sequential(nn.Conv2d(4, 4, 3, padding=1), nn.ReLU())
        self.squeeze = nn.Conv2d(4, 4, 1)
        self.head = nn.Linear(4, 2)

    def forward(self, x):
        x = self.stem(x)
        smooth, sharp = self.smooth(x), self.sharp(x)
        gate = self.squeeze(sharp.mean((2, 3), keepdim=True)).sigmoid()
        return self.head((sharp * gate + smooth).mean((2, 3)))

def long():
    block = lambda: nn.Sequential(*[nn.Sequential(nn.Conv2d(2, 2, 1), nn.ReLU())] * 5)
    return nn.Sequential(nn.Conv2d(3, 2, 1), *[nn.Sequential(*[block()] * 10) for _ in range(10)])
"""
GELU, SIGMOID = "no rule: GELU", "no rule: Sigmoid"
RULES = {
    "stem": "-",
    "smooth.0": "-",
    "smooth.1": GELU,
    "sharp.0": "-",
    "sharp.1": "yes",
    "mean": "-",
    "squeeze": "-",
    "sigmoid": SIGMOID,
    "mul": f"{SIGMOID} below",
    "add": f"{GELU}, Sigmoid below",
    "mean_1": f"{GELU}, Sigmoid below",
    "head": f"{GELU}, Sigmoid below",
}


@pytest.fixture(scope="module")
def nets(tmp_path_factory):
    path = tmp_path_factory.mktemp("layers") / "nets.py"
    path.write_text(NETS)
    return path


def shown(capfd, *arguments):
    """The table as {layer: cells}, and what stands under it."""
    code, out, err = said(capfd, "layers", *arguments)
    assert code == 0, err
    head, _, *lines = out.splitlines()
    starts = [head.index(name) for name in head.split()]
    cells = {}
    for line in filter(None, lines[:-3]):
        ends = [*starts[1:], None]
        row = [line[a:b].strip() for a, b in zip(starts, ends, strict=True)]
        cells[row[0]] = dict(zip(head.split(), row, strict=True))
    return cells, lines[-2]


def told(capfd, *arguments):
    code, out, err = said(capfd, "layers", *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def test_each_layer_says_what_it_is(nets, capfd):
    cells, note = shown(capfd, f"{nets}:Branching", "--size", "15")
    assert list(cells) == list(RULES)
    assert cells["smooth.1"] == {
        "layer": "smooth.1", "kind": "GELU", "channels": "4", "map": "7 x 7", "field": "7 x 7",
        "stride": "2 x 2", "box": "4,4,11,11", "deconvnet": GELU,
    }  # fmt: skip
    assert (cells["head"]["map"], cells["head"]["box"]) == ("-", "0,0,15,15")
    assert note.startswith(f"{len(cells)} of {len(cells)} layers, for images of 3 x 15 x 15;")
    found = told(capfd, f"{nets}:Branching", "--size", "15")
    assert found["rectifier"] == "deconvnet"
    assert found["layers"]["add"] == {
        "channels": 4, "size": [7, 7], "field": [15, 15], "stride": [15, 15], "kind": "add",
        "box": [0, 0, 15, 15], "rule": f"{GELU}, Sigmoid below", "unruled": ["smooth.1", "sigmoid"],
    }  # fmt: skip


@pytest.mark.parametrize("policy", ["deconvnet", "guided", "rectgrad(98)"])
def test_what_has_no_rule(nets, capfd, policy):
    cells, _ = shown(capfd, f"{nets}:Branching", "--size", "15", "--rectifier", policy)
    name = policy.split("(")[0]
    assert {layer: row[name] for layer, row in cells.items()} == RULES


@pytest.mark.parametrize(
    "options",
    [
        ["--rectifier", "gradient"],
        ["--rectifier", "identity"],
        ["--rectifier", "guided", "--elsewhere", "derivative"],
    ],
)
def test_everything_has_a_rule(nets, capfd, options):
    cells, _ = shown(capfd, f"{nets}:Branching", "--size", "15", *options)
    ruled = {row[options[1]] for row in cells.values()}
    assert ruled == {"yes", "-"}
    assert cells["smooth.1"][options[1]] == "yes"


def raising(net, image, name):
    """What recording up to a node meets first without a rule; empty if nothing."""
    try:
        net.record(image, name)
    except UnmirroredError as error:
        return str(error).split(":")[0].removeprefix("at ")
    return ""


def test_the_rules_are_those_that_recording_meets(nets):
    net, image = DeconvNet(load(f"{nets}:Branching").model), torch.rand(1, 3, 15, 15)
    without = unruled.unruled(net.geometry((3, 15, 15)), net.policies)
    met = {name: raising(net, image, name) for name in RULES}
    assert {name: (*without[name], "")[0] for name in RULES} == met
    assert set(met.values()) == {"", "smooth.1", "sigmoid"}
    # an activation alone does not tell: what it would say of the nodes above is wrong
    own = {name: name if name in without[name] else "" for name in RULES}
    assert own != met


def test_the_rules_of_a_network():
    net = DeconvNet(network("efficientnet_b0"), "guided")
    recording = net.geometry((3, 64, 64))
    without = unruled.unruled(recording, net.policies)
    assert not without["features.0.0"]
    assert without["features.0.2"] == ("features.0.2",)
    smooth = [
        n for n, kind in unruled.activations(recording).items() if kind in ("SiLU", "Sigmoid")
    ]
    assert without["classifier.1"] == tuple(smooth)
    passing = unruled.unruled(recording, Policies(rectifier("gradient")))
    assert not any(passing.values())


@pytest.mark.parametrize("name", ["alexnet", "resnet18", "shufflenet_v2_x1_0"])
def test_central_boxes_are_the_boxes_one_by_one(name):
    net = DeconvNet(network(name), input_size=(3, 75, 64))
    recording, layers = net.geometry((3, 75, 64)), list(net.layers)
    found = receptive_field.central_boxes(recording, layers)
    assert list(found) == layers
    for layer in layers[::5] + layers[-2:]:
        centre = [n // 2 for n in recording.sizes[layer][2:]]
        assert found[layer] == receptive_field.box(recording, layer, centre)
    corner = receptive_field.box(recording, layers[3], (0, 0))
    assert corner != found[layers[3]], "another unit has the same box: this test proves nothing"


def test_chosen_kinds(nets, capfd):
    cells, note = shown(capfd, f"{nets}:Branching", "--size", "15", "--kinds", "ReLU,GELU")
    assert list(cells) == ["smooth.1", "sharp.1"]
    assert note.startswith("2 of ")
    found = told(capfd, f"{nets}:Branching", "--size", "15", "--kinds", "Linear")
    assert list(found["layers"]) == ["head"]


def test_a_module_a_line_is_its_last_node(capfd):
    cells, note = shown(capfd, "torchvision:resnet18", "--size", "64", "--depth", "2")
    assert cells["layer1.0"]["kind"] == "BasicBlock"
    net = DeconvNet(network("resnet18"), input_size=(3, 64, 64))
    assert {"conv1", "layer2.1", "fc"} <= set(cells)
    for name, row in cells.items():
        size = net.layers[net.graph.find(name)].size
        assert row["map"] == (" x ".join(map(str, size)) or "-")
    assert note.startswith(f"{len(cells)} of {len(net.layers)} layers")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("--kinds relu", "no layer is of kind 'relu'; here are Conv2d, GELU, ReLU, mean, sigmoid"),
        ("--depth 0", "the depth was 0; give 1 or more"),
        ("--rectifier relu", "no rectifier is called 'relu'; use one of gradient, deconvnet"),
        ("--elsewhere rectify --rectifier guided --size 2", "do not fit the model: it stopped at"),
    ],
)
def test_bad_options(nets, capfd, options, message):
    code, out, err = said(capfd, "layers", f"{nets}:Branching", "--size", "15", *options.split())
    assert (code, out) == (2, "")
    assert err.startswith("deconvnet: error: ")
    assert len(err.splitlines()) == 1
    assert message in err


def test_a_thousand_nodes_stay_readable(nets, capfd):
    code, out, _ = said(capfd, "layers", f"{nets}:long", "--size", "4")
    lines = out.splitlines()
    assert code == 0
    assert len(lines) > 1000
    assert max(map(len, lines)) <= 110
    groups = [len(part.splitlines()) for part in out.split("\n\n")]
    assert len(groups) == 12  # the first layer, ten parts, and what stands below
    cells, _ = shown(capfd, f"{nets}:long", "--size", "4", "--depth", "1")
    assert list(cells) == [str(part) for part in range(11)]
