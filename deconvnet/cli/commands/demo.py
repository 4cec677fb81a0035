"""``deconvnet demo``: mine, project and draw with the embedded network and images, offline."""

from __future__ import annotations

import argparse
import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deconvnet import zoo
from deconvnet.figures import RULE, filters, save
from deconvnet.figures.html_page import Entry, write_page
from deconvnet.mining.mine import Source, mine
from deconvnet.mining.progress import bar
from deconvnet.net import DeconvNet
from deconvnet.store.store import Store
from deconvnet.studies.compare import METHODS, compare
from deconvnet.studies.exemplars import choose, exemplars
from deconvnet.studies.provenance import provenance_of
from deconvnet.studies.visualize import visualize
from deconvnet.zoo.load import LoadedModel, load

from . import said

if TYPE_CHECKING:
    from matplotlib.figure import Figure
    from torch import nn

    _Drawn = tuple[Figure, str, str, dict[str, Any]]  # with name, what it shows, provenance

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
    folder, loaded, tiles = Path(options.output), load(MODEL), zoo.photographs()
    path = folder / "top9.h5"
    source = Source(MODEL, "", DATA, loaded.preprocessing.to_json())
    with bar(len(tiles), "1/3 mining") as report:
        store = mine(loaded.model, tiles, path, LAYERS, source=source, report=report)
    units = sum(table.channels for table in store.values())
    made = {str(path): f"the top 9 of {units} units over {len(tiles)} tiles"}
    entries = []
    for figure, name, what, how in itertools.chain(
        _grids(store, loaded.model, tiles), _in_images(store, loaded)
    ):
        told = provenance_of({"model": MODEL, "weights": loaded.weights, "contrast": RULE, **how})
        for suffix in ("pdf", "png"):  # for the paper, and for the page
            file = save(figure, folder / f"{name}.{suffix}", provenance=told)
            made[str(file)] = what
        entries.append(Entry(name, what, file))
    text = (
        "What the filters of a small network respond to: a network of the shape of Zeiler & "
        f"Fergus 2014, on {len(tiles)} tiles of scikit-image's photographs. {RULE}"
    )
    page = folder / "index.html"
    write_page(page, title="deconvnet demo", text=text, entries=entries, commands=NEXT)
    for name, what in made.items():
        if not name.endswith(".png"):  # each stands beside the PDF of its name
            said(f"{name}  {what}", options)
    said(f"{page}  all of it on one page", options)
    said(NEXT, options)
    return {"folder": options.output, "made": made, "page": str(page)}


def _grids(store: Store, model: nn.Module, tiles: Any) -> Iterator[_Drawn]:
    """The filters of the first layer, and the exemplars of the others."""
    weights = model.get_parameter("conv1.weight").detach().numpy()
    what = f"the {len(weights)} filters of the first layer, each on a scale of its own"
    yield filters(weights), "filters_conv1", what, {"layer": "conv1", "shows": "filters"}
    net = DeconvNet(model, "deconvnet")
    with bar(len(GRIDS), "2/3 projecting", unit="layer") as report:
        for done, layer in enumerate(GRIDS, start=1):
            result = exemplars(store, layer, SHOWN, net=net, data=tiles)
            how = {
                "layer": layer,
                "channels": ",".join(map(str, result.channels)),
                "rectifier": result.rectifier,
                "dataset": DATA,
                "model_fingerprint": store.attributes["model_fingerprint"],
            }
            what = f"{layer}: nine projections beside the nine patches, for 12 channels"
            yield result.figure(title=layer, caption=True), f"figure2_{layer}", what, how
            report(done, len(GRIDS))


def _in_images(store: Store, loaded: LoadedModel) -> Iterator[_Drawn]:
    """The likeliest class of each image by three methods, and one unit in an image."""
    model, prepared = loaded.model, loaded.preprocessing
    images = torch.stack([prepared(zoo.photograph(name)) for name in FACES])
    with bar(2, "3/3 comparing", unit="figure") as report:
        result = compare(
            model, images, preprocessing=prepared, names=FACES, classes=zoo.class_names()
        )
        what = "the likeliest class of three images, by three methods"
        yield result.figure(), "methods", what, {"rectifiers": ", ".join(METHODS)}
        report(1, 2)
        channel = choose(store["relu4"], "strongest:1")[0]
        net = DeconvNet(model, "deconvnet")
        unit = visualize(
            net, images[:1], layer="relu4", channel=channel, preprocessing=prepared, names=FACES[:1]
        )
        what = f"one unit, relu4:{channel}, where it is strongest in one image"
        how = {"layer": "relu4", "channels": channel, "rectifier": "deconvnet"}
        yield unit.figure(width="cvpr", title="relu4", caption=True), "unit", what, how
        report(2, 2)
