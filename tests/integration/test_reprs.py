"""What public objects look like when they are printed, or shown in a notebook."""

import dataclasses
import importlib
import pkgutil
import re
from html.parser import HTMLParser

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet as dn
import deconvnet.figures
import deconvnet.studies
from deconvnet import DeconvNet, Preprocessing, Rectifier, Region, Unit, zoo
from deconvnet.arguments import LONGEST_REPR, Brief, brief, html_table
from deconvnet.data import ImageFolder
from deconvnet.figures import ImageRow
from deconvnet.layers import Policies, rectifier
from deconvnet.store.store import write_store
from deconvnet.studies.result import Shown
from deconvnet.testing import check_model
from deconvnet.units import Exemplar
from tests.support.small_tables import table

LINES = 5


def long_repr(thing):
    """What is wrong with how a thing is printed; None if nothing is."""
    text = repr(thing)
    if len(text.splitlines()) > LINES:
        return f"{len(text.splitlines())} lines"
    if len(text) > LONGEST_REPR:
        return f"{len(text)} characters"
    return "an address" if re.search(r"\bat 0x[0-9a-f]{4}", text) else None


class Soft(Rectifier):
    """With a parameter of many values."""

    name = "soft"

    def __init__(self):
        self.weights = torch.rand(100, 100)

    def remember(self, z, a, activation):
        return a

    def signal(self, R, kept):
        return R * kept


def wide():
    """More layers than a line has room for, one of them with a name that is markup."""
    model = nn.Sequential()
    for number in range(60):
        model.add_module(f"a_layer_of_some_length_{number}", nn.Conv2d(3, 3, 3, padding=1))
        model.add_module(f"relu{number}", nn.ReLU())
    model.add_module("<b>&pool", nn.MaxPool2d(2))
    model.add_module("gelu", nn.GELU())
    return model


def everything(folder):
    """{name: public object}, as large as users' are."""
    model = wide()
    images = torch.rand(70, 3, 16, 16)
    net, soft = DeconvNet(model, "guided", fallback="derivative"), DeconvNet(model[:4], Soft())
    recording = net.record(images, [f"relu{n}" for n in range(30, 60)])
    units = [Unit("relu30", 1, 2, 2, image=i) for i in range(70)]
    (projection, *_) = net.project(images, units=units, crop=True)
    layers = {f"layer {n} of some <i>length</i>": table() for n in range(50)}
    path = folder / ("p" * 200) / ("q" * 200) / "<b>.h5"
    attributes = {"model": "m" * 500, "dataset": "<b>photos</b>"}
    names = {0: "a.png", 1: "b.png"}
    store = write_store(path, attributes=attributes, layers=layers, images=names)
    prepared = Preprocessing.imagenet()
    array = np.zeros((50, 50, 3), "f4")
    return {
        "net": net, "soft": soft, "layers": net.layers_at((3, 16, 16)), "graph": net.graph,
        "layer": net.layers_at((3, 16, 16))["relu1"], "plan": net.plan(images, units),
        "recording": recording, "record": recording.switches, "step": recording.steps[0],
        "mirror": recording.steps[0].layer, "geometry": net.geometry((3, 16, 16)),
        "node": next(iter(net.graph)), "projection": projection, "unit": units[0],
        "box": projection.box, "region": Region("relu1", 3, np.ones((50, 50), bool)),
        "store": store, "table": table(), "preprocessing": prepared,
        "files": ImageFolder([f"{n}.png" for n in range(10**4)], prepared),
        "tiles": zoo.photographs("camera"), "report": check_model(model[:9], images[:2]),
        "policies": Policies.of("rectgrad(98)", "rectify"), "own": Soft(),
        "exemplar": Exemplar(units[0], 1.0, projection.box, (0, 0), array, array),
        **{name: rectifier(name) for name in ("gradient", "deconvnet", "guided", "identity")},
        "rectgrad": rectifier("rectgrad(98)"),
    }  # fmt: skip


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return everything(tmp_path_factory.mktemp("shown"))


NAMES = (
    "net soft layers layer graph plan recording record step mirror geometry node projection unit "
    "box region store table preprocessing files tiles report policies own exemplar "
    "gradient deconvnet guided identity rectgrad"
).split()


@pytest.mark.parametrize("name", NAMES)
def test_a_repr_is_short(things, name):
    assert long_repr(things[name]) is None
    assert set(NAMES) == set(things)


def test_every_public_class_is_looked_at(things):
    """A new public class has to be listed above."""
    shown = {kind for thing in things.values() for kind in type(thing).__mro__}
    public = {getattr(dn, name) for name in dn.__all__}
    public = {one for one in public if isinstance(one, type) and not issubclass(one, Exception)}
    assert public <= shown


def parts_of_results():
    """The data classes of figures and studies, some of whose fields are arrays or images."""
    for package in (deconvnet.figures, deconvnet.studies):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            for one in vars(importlib.import_module(module.name)).values():
                if not dataclasses.is_dataclass(one) or one.__module__ != module.name:
                    continue
                types = " ".join(str(field.type) for field in dataclasses.fields(one))
                if re.search(r"Array|Map\b|Numbers|Tensor|Exemplar|Panel", types):
                    yield one


@pytest.mark.parametrize("kind", list(parts_of_results()), ids=lambda kind: kind.__name__)
def test_no_part_of_a_result_prints_arrays(kind):
    assert issubclass(kind, Brief | Shown), f"{kind} prints every number it holds"


def test_a_row_of_a_figure_is_told_in_a_line():
    row = ImageRow(np.zeros((300, 300, 3)), [], "cat.jpg")
    assert repr(row) == "ImageRow(image=float64 (300, 300, 3), units=[], name='cat.jpg')"
    assert ImageRow in parts_of_results()


@dataclasses.dataclass
class Talkative:
    """As a dataclass is printed unless told."""

    pixels: np.ndarray


def test_the_law_catches_a_long_repr_and_an_address():
    assert long_repr(Talkative(np.zeros((30, 30)))).endswith("lines")
    assert long_repr(Talkative(["a"] * 400)).endswith("characters")
    assert long_repr(object()) == "an address"


@dataclasses.dataclass(frozen=True, eq=False)
class Kept(Brief):
    pixels: object
    _hidden: int = 3


class Below(Kept):
    pass


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (np.zeros((2, 3), "f4"), "float32 (2, 3)"),
        (torch.zeros(4, dtype=torch.bool), "bool (4,)"),
        ((torch.zeros(2),), "(float32 (2,),)"),
        ([1] * 100, "list of 100"),
        ({"a": np.zeros(3)}, "{'a': float64 (3,)}"),
        ({n: n for n in range(100)}, "dict of 100"),
        (nn.ReLU(), "ReLU"),
        ("two\nlines", "'two\\nlines'"),
        ({1, 2}, "{1, 2}"),
        (3.5, "3.5"),
        (2 / 3, "0.667"),
        (np.float32(1e-4 / 3), "3.33e-05"),
        (0.0001, "0.0001"),
    ],
)
def test_values_are_printed_in_short(value, text):
    assert repr(Kept(value)) == f"Kept(pixels={text})"
    assert repr(Below(value)) == f"Below(pixels={text})"


def test_a_text_without_end_is_cut_in_its_middle():
    text = brief("Kind", "a" * 1000)
    assert len(text) == LONGEST_REPR
    assert text.startswith("Kind(aa")
    assert text.endswith("aa)")
    assert "…" in text
    assert brief("Kind", "a\nb") == "Kind(a b)"


class Cells(HTMLParser):
    """The rows of the tables in a page, and every tag that it holds."""

    def __init__(self, text):
        super().__init__()
        self.rows, self.tags, self.texts, self.inside = [], set(), [], False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        self.inside = tag in ("td", "th")

    def handle_endtag(self, tag):
        self.inside = False

    def handle_data(self, data):
        self.texts.append(data)
        if self.inside:
            self.rows[-1][-1] += data


ALLOWED = {"div", "b", "table", "thead", "tbody", "tr", "th", "td"}


def test_the_mirror_is_shown_from_top_to_bottom(things):
    net = DeconvNet(things["net"].model, "deconvnet", input_size=(3, 16, 16))
    head, *rows = Cells(net._repr_html_()).rows
    assert head == ["node", "kind", "its mirror", "remembers", "size", "field"]
    assert [row[0] for row in rows] == list(net.graph.nodes)[::-1]
    told = {row[0]: row[1:] for row in rows}
    assert told["gelu"][:2] == ["GELU", "no rule for GELU; give fallback="]
    pool = [row for row in rows if row[1] == "MaxPool2d"]
    assert pool[0][2:] == ["unpool: each value to its switch", "switches", "3 x 8 x 8", "16 x 16"]
    assert told["relu1"][2:4] == ["nothing", "3 x 16 x 16"]
    assert told["relu1"][1] == "deconvnet: the positive part, max(R, 0)"
    assert told["relu0"][4] == "3 x 3"
    conv = "a_layer_of_some_length_1"
    assert told[conv] == [
        "Conv2d",
        "the same filters, transposed",
        "input size",
        "3 x 16 x 16",
        "5 x 5",
    ]
    assert told["input"] == ["images", "the projection: a signed signal", "", "3 x 16 x 16", ""]


@pytest.mark.parametrize(
    ("rule", "does", "remembers"),
    [
        ("gradient", "gradient: R where the unit was active, R · 1[z > 0]", "mask"),
        (
            "rectgrad(98)",
            "rectgrad(98): R where its importance a·R passes the threshold",
            "2 tensors",
        ),
        (Soft(), "soft(float32 100x100 ", "1 tensor"),
    ],
)
def test_what_an_activation_remembers_is_as_the_rule_says(rule, does, remembers):
    model = nn.Sequential(nn.Conv2d(3, 3, 3), nn.ReLU())
    rows = Cells(DeconvNet(model, rule, input_size=(3, 8, 8))._repr_html_()).rows
    assert rows[1][:2] == ["1", "ReLU"]
    assert rows[1][2].startswith(does)
    assert rows[1][3] == remembers


def test_a_net_whose_size_is_unknown_has_no_table():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 6 * 6, 2))
    assert DeconvNet(model)._repr_html_() is None
    assert DeconvNet(model, input_size=(3, 8, 8))._repr_html_()


@pytest.mark.parametrize("name", ["net", "layers", "store"])
def test_names_in_tables_are_escaped(things, name):
    thing = things[name]
    if name == "net":
        thing = DeconvNet(thing.model, input_size=(3, 16, 16))
    page = Cells(thing._repr_html_())
    assert page.tags <= ALLOWED
    assert "<" in "".join(page.texts)
    names = [row[0] for row in page.rows[1:]]
    assert all(layer in names for layer in (thing if name != "net" else thing.graph.nodes))


def test_markup_that_is_not_escaped_would_be_seen():
    text = html_table("a", ["b"], [["<script>1</script>"]])
    assert "script" not in Cells(text).tags
    assert "script" in Cells(text.replace("&lt;", "<").replace("&gt;", ">")).tags


def test_the_table_of_a_store_tells_what_it_holds(things):
    page = Cells(things["store"]._repr_html_())
    assert page.rows[1][1:] == ["2", "7 x 7", "3 x 3", "1 x 1", "0"]
    assert len(page.rows) == 51
    assert "dataset: <b>photos</b>" in "".join(page.texts)
