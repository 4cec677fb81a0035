"""``deconvnet demo``: mine, project and draw with the embedded network and images, offline."""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from deconvnet import zoo
from deconvnet.arguments import numeral
from deconvnet.figures import RULE, filters, save, tile_places
from deconvnet.figures.html_page import Entry, Spot, write_page
from deconvnet.mining.mine import Source, mine
from deconvnet.mining.progress import bar
from deconvnet.net import DeconvNet
from deconvnet.pages.atlas import atlas
from deconvnet.pages.folder import check_target
from deconvnet.store.store import Store
from deconvnet.studies.compare import METHODS, compare
from deconvnet.studies.exemplars import Exemplars, exemplars
from deconvnet.studies.provenance import provenance_of
from deconvnet.studies.visualize import visualize
from deconvnet.units import Unit
from deconvnet.zoo.load import LoadedModel, load

from . import said

if TYPE_CHECKING:
    from matplotlib.figure import Figure

MODEL, DATA = "zoo:zfnet_mini", "deconvnet.zoo:photographs"
LAYERS = ("relu1", "relu2", "relu3", "relu4", "relu5")
KEPT, TILES, PER_SOURCE = 64, 9, 2  # mined; drawn; of one photograph
SAMPLE = 128  # tiles drawn at random, for histograms and channels that respond alike
GRIDS = {  # chosen by eye: what they respond to can be said in a word
    "relu4": (126, 132, 85, 96, 101, 47),
    "relu5": (131, 187, 37, 11, 225, 55),
    "relu3": (18, 47, 33, 68, 149, 125),
    "relu2": (75, 42, 10, 92, 78, 57),
}
ORDINALS = {"relu2": "second", "relu3": "third", "relu4": "fourth", "relu5": "fifth"}
FACES = ("chelsea", "coffee", "astronaut")
COMPARED = Unit("relu5", 17)  # responds to the cat's eye, the spoon in its cup, and the hair
LARGE = 224  # pixels: the network's convolutions take any size, and 96 show few details
NEXT = """
The same with a network and images of your own:
  deconvnet layers    torchvision:vgg16
  deconvnet mine      torchvision:vgg16 --weights DEFAULT IMAGES -o top9.h5
  deconvnet exemplars top9.h5 --layer features.22 --channels strongest:12 -o fig2.pdf
  deconvnet visualize torchvision:vgg16 --weights DEFAULT IMAGE --layer features.22 --channel 42
  deconvnet compare   torchvision:vgg16 --weights DEFAULT IMAGE -o methods.pdf"""


@dataclass(frozen=True)
class Drawn:
    """A figure of the demo."""

    figure: Figure
    name: str  # of its files
    title: str
    text: str
    how: dict[str, object]
    spots: Sequence[Spot] = ()


def run(options: argparse.Namespace) -> dict[str, Any]:
    """Mine, draw, and list the files written."""
    folder, loaded, tiles = Path(options.output), load(MODEL), zoo.photographs()
    path, place = folder / "top64.h5", folder / "atlas"
    check_target(place)
    source = Source(MODEL, "", DATA, loaded.preprocessing.to_json())
    with bar(len(tiles), "1/3 mining") as report:
        store = mine(
            loaded.model, tiles, path, LAYERS, KEPT, sample=SAMPLE, source=source, report=report
        )
    units = sum(table.channels for table in store.values())
    made = {str(path): f"the top {KEPT} of {units} units over {len(tiles)} tiles"}
    entries = []
    with bar(len(GRIDS) + 3, "2/3 drawing", unit="figure") as report:
        for drawn in _figures(store, loaded, tiles):
            entries.append(_saved(drawn, folder, loaded, made))
            report(len(entries), len(GRIDS) + 3)
    with bar(units, "3/3 atlas", unit="unit") as report:
        atlas(store, place, per_source=PER_SOURCE, report=report)
    text = (
        "What the filters of a small network respond to: a network of the shape of Zeiler & "
        f"Fergus 2014, on {len(tiles)} tiles of scikit-image's photographs. {RULE} A tile opens "
        "its photograph."
    )
    page = folder / "index.html"
    names = {tile.name for tile in tiles.tiles}
    photographs = {name: zoo.photograph(name) for name in sorted(names)}
    write_page(
        page,
        title="deconvnet demo",
        text=text,
        entries=entries,
        photographs=photographs,
        commands=NEXT,
        links={
            "atlas/index.html": f"The atlas: each of the {units} units, with search and filters"
        },
    )
    for name, what in made.items():
        if not name.endswith(".png"):  # each stands beside the PDF of its name
            said(f"{name}  {what}", options)
    said(f"{page}  all of it on one page", options)
    said(f"{place / 'index.html'}  each of the {units} units in a browser", options)
    said(NEXT, options)
    return {"folder": options.output, "made": made, "page": str(page)}


def _saved(drawn: Drawn, folder: Path, loaded: LoadedModel, made: dict[str, str]) -> Entry:
    """Write a figure for papers and for the page."""
    how = {"model": MODEL, "weights": loaded.weights, "title": drawn.title, **drawn.how}
    for suffix in ("pdf", "png"):
        file = save(drawn.figure, folder / f"{drawn.name}.{suffix}", provenance=provenance_of(how))
        made[str(file)] = drawn.title
    return Entry(drawn.title, drawn.text, file, [f"{drawn.name}.pdf"], drawn.spots)


def _figures(store: Store, loaded: LoadedModel, tiles: Any) -> Iterator[Drawn]:
    """Every figure, the strongest first."""
    net = DeconvNet(loaded.model, "deconvnet")
    grids = (_grid(store, layer, net, tiles) for layer in GRIDS)
    yield next(grids)
    yield _units(loaded)
    yield _methods(loaded)
    yield from grids
    weights = loaded.model.get_parameter("conv1.weight").detach().numpy()
    text = f"The {len(weights)} filters of the first layer, each on a scale of its own."
    how: dict[str, object] = {"layer": "conv1", "shows": "filters"}
    yield Drawn(filters(weights), "filters_conv1", "First layer: the filters themselves", text, how)


def _grid(store: Store, layer: str, net: DeconvNet, tiles: Any) -> Drawn:
    """The exemplars of channels of a layer."""
    result = exemplars(
        store,
        layer,
        GRIDS[layer],
        net=net,
        data=tiles,
        k=TILES,
        per_source=PER_SOURCE,
        columns=2,
        progress=False,
    )
    how = {
        "layer": layer,
        "channels": ",".join(map(str, result.channels)),
        "rectifier": result.rectifier,
        "contrast": RULE,
        "per_source": PER_SOURCE,
        "dataset": DATA,
        "model_fingerprint": store.attributes["model_fingerprint"],
    }
    text = (
        f"Six channels of {layer}: nine projections beside the nine patches they explain, at most "
        f"{PER_SOURCE} of one photograph. White lies outside the image."
    )
    title = f"{ORDINALS[layer].capitalize()} layer: what excites six filters most"
    spots = list(_spots(result, tiles))
    return Drawn(result.figure(), f"figure2_{layer}", title, text, how, spots)


def _spots(result: Exemplars, tiles: Any) -> Iterator[Spot]:
    """The tiles of a grid, each with its photograph and its field in there."""
    for one, place in tile_places(result.channels, columns=result.columns):
        tile = tiles.tiles[one.unit.image]
        scale = tile.side / tiles.preprocessing.size[0]
        top, left, bottom, right = (scale * edge for edge in one.box.edges)
        box = (tile.top + top, tile.left + left, tile.top + bottom, tile.left + right)
        yield Spot(place, tile.name, box, f"{one.unit} = {numeral(one.activation)} in {tile.name}")


def _units(loaded: LoadedModel) -> Drawn:
    """The strongest units of larger images."""
    large = replace(zoo.PREPROCESSING, size=(LARGE, LARGE), resize=LARGE)
    images = torch.stack([large(zoo.photograph(name)) for name in FACES])
    result = visualize(
        DeconvNet(loaded.model, "guided"),
        images,
        layer="relu5",
        channel="strongest:3",
        preprocessing=large,
        names=FACES,
    )
    text = (
        "The three channels of relu5 that fire most in each photograph, where they fire most: "
        "their receptive fields, and patch and projection under the rule guided."
    )
    how: dict[str, object] = {"layer": "relu5", "rectifier": "guided", "contrast": RULE}
    return Drawn(result.figure(), "units", "Three units in each of three photographs", text, how)


def _methods(loaded: LoadedModel) -> Drawn:
    """One unit by three methods."""
    prepared = loaded.preprocessing
    images = torch.stack([prepared(zoo.photograph(name)) for name in FACES])
    result = compare(loaded.model, images, target=COMPARED, preprocessing=prepared, names=FACES)
    text = (
        f"The unit {COMPARED} where it fires most in each photograph. The methods differ only in "
        "what a ReLU does to the signal that comes from above."
    )
    how: dict[str, object] = {
        "layer": COMPARED.layer,
        "channels": COMPARED.channel,
        "rectifiers": ", ".join(METHODS),
        "contrast": RULE,
    }
    return Drawn(result.figure(), "methods", "One unit by three methods", text, how)
