"""A channel's trip from a photograph to its pixels: every file is entered from two places at most.

How it is counted. The files are those of ``net.py``, ``projection/``, ``cli/`` and ``studies/``. An
entry of a file is a place (function and line) in another of these files, or outside of them, from
which control goes into it while the trip runs:

- a loop that calls from one place is one entry, however often it turns;
- files of no concern here (``graph/``, ``layers/``, torch) are looked through: what they call back
  was entered by whoever called them, so that a node run by the interpreter is no new entry of the
  file that had asked the interpreter to run it;
- properties are no entries, since a value is read there; nor are constructors, as those of data
  classes, which are in no file, cannot be;
- ``projection/check/`` does not count, nor what it calls: a graph is held against its model once
  for each size of images, and not on the trip. Nor does what draws and prints the result: the
  trip of a command ends when the pixels are there.
"""

import sys
from argparse import Namespace
from collections import defaultdict
from pathlib import Path

import pytest
import torch
from PIL import Image

import deconvnet.net
from deconvnet import DeconvNet, Unit
from deconvnet.cli.commands import visualize
from deconvnet.graph.graph import Graph
from deconvnet.projection import result, seeds
from tests.support.networks import network, noise

ROOT = Path(deconvnet.net.__file__).parent
COUNTED = ("net.py", "projection/", "cli/", "studies/")
LEFT_OUT = "projection/check/"
MOST = 2


def name_of(code):
    """The file of some code, as seen from ``deconvnet/``; None for files outside of it."""
    path = Path(code.co_filename)
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else None


def is_property(frame):
    """Whether a frame runs a property, plain or cached, of an object."""
    code = frame.f_code
    owner = frame.f_locals.get("self")
    for kind in type(owner).__mro__:
        made = vars(kind).get(code.co_name)
        function = getattr(made, "fget", None) or getattr(made, "func", None)
        if getattr(function, "__code__", None) is code:
            return True
    return False


class Trip:
    """Counts entries while it is active: {file: places from which it was entered}."""

    def __init__(self):
        self.entries = defaultdict(set)

    def __enter__(self):
        sys.setprofile(self.watch)
        return self

    def __exit__(self, *_):
        sys.setprofile(None)

    def watch(self, frame, event, _):
        name = name_of(frame.f_code) if event == "call" else None
        if name is None or not name.startswith(COUNTED) or name.startswith(LEFT_OUT):
            return
        below = frame.f_back
        while below is not None:
            caller = name_of(below.f_code)
            if caller and caller.startswith(LEFT_OUT):
                return
            if caller and caller.startswith(COUNTED):
                break
            below = below.f_back
        place = ("outside", 0) if below is None else (caller, below.f_lineno)
        quiet = frame.f_code.co_name in ("__init__", "__post_init__") or is_property(frame)
        if place[0] != name and not quiet:
            self.entries[name].add(place)

    @property
    def bounced(self):
        """The files that were entered from more places than they may be."""
        return {name: sorted(places) for name, places in self.entries.items() if len(places) > MOST}


CALLS = {
    "a channel": dict(layer="layer2.0.relu_1", channel=3),
    "a whole map": dict(layer="layer2.0.relu_1", channel=3, seed="map"),
    "an output": dict(layer="fc", channel=3),
    "units, cropped": dict(
        units=[Unit("layer1.0.add", 1, 2, 2, image=1), Unit("layer2.0.add", 3)], crop=True
    ),
    "units of known positions": dict(units=[Unit("layer1.0.add", 1, 2, 2)], crop=True),
}


@pytest.mark.parametrize("call", CALLS)
def test_every_file_is_entered_from_two_places_at_most(call):
    net, images = DeconvNet(network("resnet18"), "guided"), noise(2, 3, 48, 48)
    with Trip() as trip:
        net.project(images, **CALLS[call])
    assert trip.bounced == {}
    assert {"net.py", "projection/plan.py", "projection/backward.py"} <= set(trip.entries)
    recording = net.record(images, ["layer1.0.add", "layer2.0.add", "layer2.0.relu_1", "fc"])
    with Trip() as trip:
        net.project(recording, **CALLS[call])
    assert trip.bounced == {}


def test_visualize_as_well(tmp_path, monkeypatch):
    photo = tmp_path / "photo.png"
    pixels = (noise(64, 64, 3).sigmoid() * 255).to(torch.uint8).numpy()
    Image.fromarray(pixels).save(photo)
    options = Namespace(
        model="zoo:zfnet_mini", weights=None, mean=None, std=None, white=None, size=None,
        exif_transpose=False, images=[str(photo)], layer="relu4", channel="3,7", position=None,
        rectifier="deconvnet", fallback=None, unpooling="switches", normalization=None,
        seed="activation", width=5.0, json=False, bands=None, title=None, caption=False,
        output=str(tmp_path / "figure.png"),
    )  # fmt: skip
    trip, drawn = Trip(), visualize.drawn

    def arrived(*result):
        trip.__exit__()
        return drawn(*result)

    monkeypatch.setattr(visualize, "drawn", arrived)
    with trip:
        told = visualize.run(options)
    assert [row["unit"].partition("@")[0] for row in told["units"]] == ["relu4:3", "relu4:7"]
    assert trip.bounced == {}
    assert {"studies/visualize.py", "cli/commands/__init__.py", "net.py"} <= set(trip.entries)


@pytest.mark.parametrize("call", CALLS)
def test_a_name_is_resolved_once(call, monkeypatch):
    net, images = DeconvNet(network("resnet18"), "guided"), noise(2, 3, 48, 48)
    net.project(images, **CALLS[call])
    asked, find = [], Graph.find
    monkeypatch.setattr(Graph, "find", lambda self, name: asked.append(name) or find(self, name))
    net.project(images, **CALLS[call])
    assert not asked, "the model and the size of the images are as they were"
    with torch.no_grad():
        net.model.fc.bias.add_(1)
    net.project(images, **CALLS[call])
    assert sorted(asked) == sorted(set(asked))
    assert asked


def test_a_function_that_bounces_would_be_caught(monkeypatch):
    """Planted: the results are asked of three places of another file, one after the other."""
    gather = result.pixels

    def back_and_forth(results, request):
        empty, none = torch.zeros(1, 1), torch.tensor([], dtype=torch.int64)
        seeds.strongest(empty[0], Unit("x", 0))
        pixels = gather(results, request)
        seeds.isolated(empty, [], none, seed="one")
        return pixels

    code = back_and_forth.__code__.replace(co_filename=result.__file__)
    back_and_forth.__code__ = code
    monkeypatch.setattr(deconvnet.net, "pixels", back_and_forth)
    net, images = DeconvNet(network("resnet18")), noise(2, 3, 48, 48)
    with Trip() as trip:
        net.project(images, layer="layer2.0.relu_1", channel=3)
    files = [name for name, _ in trip.bounced["projection/seeds.py"]]
    assert sorted(files) == ["projection/project.py"] + 2 * ["projection/result.py"]
