"""``deconvnet demo``: mine, project and draw with the embedded network and images, offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deconvnet import zoo
from deconvnet.cli.progress import bar
from deconvnet.figures import RULE, filters, save
from deconvnet.figures.html_page import Entry, write_page
from deconvnet.mining.mine import Source, mine
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.studies.compare import METHODS, compare
from deconvnet.studies.exemplars import choose, exemplars
from deconvnet.studies.provenance import provenance_of
from deconvnet.studies.visualize import visualize
from deconvnet.zoo.load import load

from . import said

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL, DATA = "zoo:zfnet_mini", "deconvnet.zoo:photographs"
LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
GRIDS = ("relu2", "relu3", "relu4", "relu5")
SHOWN = "strongest:12"
FACES = ("chelsea", "coffee", "astronaut")
NEXT = """
The same with a network and images of your own:
  deconvnet layers    torchvision:vgg16
  deconvnet mine      torchvision:vgg16 --weights DEFAULT IMAGES -o top9.h5
  deconvnet exemplars top9.h5 --layer features.22 --channels strongest:12 -o fig2.pdf
  deconvnet visualize torchvision:vgg16 --weights DEFAULT IMAGE --layer features.22 --channel 42
  deconvnet compare   torchvision:vgg16 --weights DEFAULT IMAGE -o methods.pdf"""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, draw, and list the files written."""
    demo = _Demo(Path(options.output))
    store = demo.mine()
    demo.filters()
    demo.grids(store)
    said("3/3 comparing", options)
    demo.images(store)
    page = demo.page()
    for file, what in demo.made.items():
        if not file.endswith(".png"):  # each stands beside the PDF of its name
            said(f"{file}  {what}", options)
    said(f"{page}  all of it on one page", options)
    said(NEXT, options)
    return {"folder": options.output, "made": demo.made, "page": str(page)}


class _Demo:
    """The steps of the demo; each writes files and records them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded = load(MODEL)
        self.tiles = zoo.photographs()
        self.made: dict[str, str] = {}
        self.entries: list[Entry] = []

    def mine(self) -> Store:
        path = self.folder / "top9.h5"
        source = Source(MODEL, "", DATA, self.loaded.preprocessing.to_json())
        with bar(len(self.tiles), "1/3 mining") as report:
            store = mine(self.loaded.model, self.tiles, path, LAYERS, source=source, report=report)
        units = sum(table.channels for table in store.layers.values())
        self.made[str(path)] = f"the top 9 of {units} units over {len(self.tiles)} tiles"
        return store

    def filters(self) -> None:
        weights = self.loaded.model.get_parameter("conv1.weight").detach().numpy()
        what = f"the {len(weights)} filters of the first layer, each on a scale of its own"
        self._keep(filters(weights), "filters_conv1", what, {"layer": "conv1", "shows": "filters"})

    def grids(self, store: Store) -> None:
        net = DeconvNet(self.loaded.model, "deconvnet")
        with bar(len(GRIDS), "2/3 projecting", unit="layer") as report:
            for done, layer in enumerate(GRIDS, start=1):
                result = exemplars(store, layer, SHOWN, net=net, data=self.tiles)
                how = {
                    "layer": layer,
                    "channels": ",".join(map(str, result.channels)),
                    "rectifier": result.rectifier,
                    "dataset": DATA,
                    "model_fingerprint": store.attributes["model_fingerprint"],
                }
                what = f"{layer}: nine projections beside the nine patches, for 12 channels"
                self._keep(result.figure(), f"figure2_{layer}", what, how)
                report(done, len(GRIDS))

    def images(self, store: Store) -> None:
        """Compare three methods on the likeliest class of each image, and show one unit."""
        model, prepared = self.loaded.model, self.loaded.preprocessing
        images = torch.stack([prepared(zoo.photograph(name)) for name in FACES])
        result = compare(
            model, images, preprocessing=prepared, names=FACES, classes=zoo.class_names()
        )
        what = "the likeliest class of three images, by three methods"
        self._keep(result.figure(), "methods", what, {"rectifiers": ", ".join(METHODS)})
        channel = choose(store["relu4"], "strongest:1")[0]
        net = DeconvNet(model, "deconvnet")
        unit = visualize(
            net, images[:1], layer="relu4", channel=channel, preprocessing=prepared, names=FACES
        )
        what = f"one unit, relu4:{channel}, where it is strongest in one image"
        how = {"layer": "relu4", "channels": channel, "rectifier": "deconvnet"}
        self._keep(unit.figure(width="cvpr"), "unit", what, how)

    def page(self) -> Path:
        text = (
            "What the filters of a small network respond to: a network of the shape of Zeiler & "
            f"Fergus 2014, on {len(self.tiles)} tiles of scikit-image's photographs. {RULE}"
        )
        file, title = self.folder / "index.html", "deconvnet demo"
        return write_page(file, title=title, text=text, entries=self.entries, commands=NEXT)

    def _keep(self, figure: Figure, name: str, what: str, how: dict[str, object]) -> None:
        """Save a figure as PDF for a paper and as PNG for the page."""
        entries = provenance_of(MODEL, self.loaded.weights, how)
        for suffix in ("pdf", "png"):
            file = save(figure, self.folder / f"{name}.{suffix}", provenance=entries)
            self.made[str(file)] = what
        self.entries.append(Entry(name, what, file))
