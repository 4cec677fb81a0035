"""``deconvnet demo``: the three jobs on the embedded network and photographs, offline."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

from deconvnet import zoo
from deconvnet.cli.progress import bar
from deconvnet.figures import RULE, filters, save
from deconvnet.figures.html_page import Entry, write_page
from deconvnet.mining.exemplars import exemplars
from deconvnet.mining.mine import Source, mine
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.studies.draw import (
    METHODS,
    Photograph,
    draw_comparison,
    draw_exemplars,
    draw_units,
    provenance,
)
from deconvnet.units import Unit
from deconvnet.zoo.load import load

from . import said
from .exemplars import choose

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL, DATA = "zoo:zfnet_mini", "deconvnet.zoo:photographs"
LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
GRIDS = ("relu2", "relu3", "relu4", "relu5")
SHOWN = "strongest:12"
FACES = ("chelsea", "coffee", "astronaut")
NEXT = """
The same with a network and photographs of your own:
  deconvnet layers    torchvision:vgg16
  deconvnet mine      torchvision:vgg16 --weights DEFAULT PHOTOS -o top9.h5
  deconvnet figure    top9.h5 --layer features.22 --channels strongest:12 -o fig2.pdf
  deconvnet visualize torchvision:vgg16 --weights DEFAULT PHOTO --layer features.22 --channel 42
  deconvnet compare   torchvision:vgg16 --weights DEFAULT PHOTO -o methods.pdf"""


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, draw, and say what lies where."""
    demo = _Demo(Path(options.output))
    store = demo.mine()
    demo.filters()
    demo.grids(store)
    said("3/3 comparing", options)
    demo.comparison()
    demo.unit(store)
    page = demo.page()
    for file, what in demo.made.items():
        if not file.endswith(".png"):  # each stands beside the PDF of its name
            said(f"{file}  {what}", options)
    said(f"{page}  all of it on one page", options)
    said(NEXT, options)
    return {"folder": options.output, "made": demo.made, "page": str(page)}


class _Demo:
    """The steps, each of which writes into the folder and notes what it wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.loaded = load(MODEL)
        self.net = DeconvNet(self.loaded.model, "deconvnet")
        self.tiles = zoo.photographs()
        prepare = self.loaded.preprocessing
        self.photographs = [Photograph(name, prepare(zoo.photograph(name))) for name in FACES]
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
        self._keep(filters(weights), "filters_conv1", what, layer="conv1", shows="filters")

    def grids(self, store: Store) -> None:
        with bar(len(GRIDS), "2/3 projecting", unit="layer") as report:
            for done, layer in enumerate(GRIDS, start=1):
                channels = choose(store[layer], SHOWN)
                found = exemplars(
                    store,
                    layer,
                    channels,
                    net=self.net,
                    dataset=self.tiles,
                    preprocessing=self.loaded.preprocessing,
                )
                figure = draw_exemplars(found, layer, width="cvpr-full", rectifier="deconvnet")
                self._keep(
                    figure,
                    f"figure2_{layer}",
                    f"{layer}: nine projections beside the nine patches, for 12 channels",
                    layer=layer,
                    channels=",".join(map(str, channels)),
                    rectifier="deconvnet",
                    dataset=DATA,
                    model_fingerprint=store.attributes["model_fingerprint"],
                )
                report(done, len(GRIDS))

    def comparison(self) -> None:
        names = zoo.class_names()
        figure, _ = draw_comparison(
            self.loaded, self.photographs, None, elsewhere=None, width="cvpr-full", classes=names
        )
        what = "the likeliest class of three photographs, by three methods"
        self._keep(figure, "methods", what, rectifiers=", ".join(METHODS))

    def unit(self, store: Store) -> None:
        channel = choose(store["relu4"], "strongest:1")[0]
        unit = Unit("relu4", channel)
        figure, _ = draw_units(
            self.net, self.loaded, self.photographs[:1], [unit], seed="activation", width="cvpr"
        )
        what = f"one unit, {unit}, where it is strongest in one photograph"
        self._keep(figure, "unit", what, layer="relu4", channels=channel, rectifier="deconvnet")

    def page(self) -> Path:
        text = (
            "What the filters of a small network respond to: a network of the shape of Zeiler & "
            f"Fergus 2014, on {len(self.tiles)} tiles of scikit-image's photographs. {RULE}"
        )
        return write_page(
            self.folder / "index.html",
            title="deconvnet demo",
            text=text,
            entries=self.entries,
            commands=NEXT,
        )

    def _keep(self, figure: Figure, name: str, what: str, **how: object) -> None:
        """Save as PDF for the paper and as PNG for the page."""
        entries = provenance(self.loaded, **how)
        for suffix in ("pdf", "png"):
            file = save(figure, self.folder / f"{name}.{suffix}", provenance=entries)
            self.made[str(file)] = what
        self.entries.append(Entry(name, what, file))
