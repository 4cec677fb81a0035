"""The options of the commands; nothing here imports torch, so that help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from deconvnet.arguments import expanded
from deconvnet.mining.run.bad_images import DEFAULT, Limit


def _parsed(text: str, kind: Callable[[str], Any], expected: str) -> Any:
    try:
        return kind(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected {expected}") from None


def numbers(text: str) -> tuple[int, ...]:
    """Integers: 3,7."""
    return tuple(_parsed(text, lambda all_: list(map(int, all_.split(","))), "integers: 3,7"))


def shape(text: str) -> tuple[int, ...]:
    """Pixels along each axis, with or without the channels before them: 28, 28x28, 1x28x28."""
    expected = "pixels: 28, 28x28 or 1x28x28"
    sizes = _parsed(text, lambda all_: tuple(map(int, all_.lower().split("x"))), expected)
    if min(sizes) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected {expected}")
    return tuple(sizes)


def levels(text: str) -> tuple[float, ...]:
    """One number for all channels, or one for each: .5 or .5,.5,.5."""
    expected = "a number, or one for each channel: .5,.5,.5"
    return tuple(_parsed(text, lambda all_: list(map(float, all_.split(","))), expected))


def count(text: str) -> int | None:
    """A number, or None for all."""
    return None if text == "all" else int(_parsed(text, int, "a number or all"))


def class_(text: str) -> int | str:
    """A class, by its index or its name."""
    return int(text) if text.isdigit() else text


def fill(text: str) -> str | list[float]:
    """What covers a part of an image: grey, mean, or numbers."""
    if text in ("grey", "mean"):
        return text
    return list(_parsed(text, lambda all_: list(map(float, all_.split(","))), "grey, mean or 0,0"))


def directions(text: str) -> tuple[str, str]:
    """A layer and the file of directions in its channels: relu5=concepts.npy."""
    layer, _, path = text.partition("=")
    if not layer or not path:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected LAYER=FILE.npy")
    return layer, str(expanded(path))


def pair(text: str) -> tuple[str, str]:
    """A layer and one below it: relu5=relu4."""
    layer, equals, below = text.rpartition("=")
    if not (layer and equals and below):
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected LAYER=LAYER_BELOW")
    return layer, below


def limit(text: str) -> str:
    """How many images may be unreadable: 20 or 1%."""
    _parsed(text, Limit, "20 or 1%")
    return text


def words(text: str) -> list[str]:
    """Words: relu2,relu4."""
    parts = [part for part in text.split(",") if part]
    if not parts:
        raise argparse.ArgumentTypeError(f"{text!r} was given, expected words: relu2,relu4")
    return parts


@dataclass(frozen=True)
class Option:
    """One argument of a command; a name without hyphens is positional."""

    name: str
    help: str
    default: Any = None
    type: Callable[[str], Any] | None = None
    choices: Sequence[str] | None = None
    metavar: str | None = None
    nargs: str | None = None
    dest: str | None = None
    required: bool | None = None
    also: Sequence[str] = ()
    """Older names, which work as well."""

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add it to a parser; one whose default is False is a switch."""
        names = ["-o", self.name] if self.name == "--output" else [self.name, *self.also]
        if self.default is False:
            parser.add_argument(*names, action="store_true", help=self.help)
            return
        told = "" if self.default in (None, []) else " (%(default)s)"
        given = {name: value for name, value in vars(self).items() if value is not None}
        del given["name"], given["also"]
        parser.add_argument(*names, **{**given, "help": self.help + told})


_MODEL = "torchvision:NAME, timm:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory"
_WEIGHTS = "state dict or checkpoint (.pth, .safetensors), or torchvision's: DEFAULT"
_DATA = "folder of images, list of images (.txt), hf:PATH[:COLUMN], or a factory like MODEL's"
_FILES = ("size", "content")
_RULES = ("derivative", "rectify")
_UNPOOLINGS, _NORMALIZATIONS = ("switches", "centre", "uniform"), ("exact", "identity")
_ENDS = ("strongest", "lowest")
_SIGNS = "all, positive, negative, absolute_value"
POLICIES = "RECTIFIER[,RECTIFIER]"
_TARGET = "classes 7, units LAYER:C[@ROW,COL], regions LAYER:C@TOP:BOTTOM,LEFT:RIGHT of a map"
CHOICES = (
    Option(
        "--fallback", "what to do at activations that the rectifier has no rule for", choices=_RULES
    ),
    Option("--unpooling", "where max pooling sends the signal", "switches", choices=_UNPOOLINGS),
    Option(
        "--normalization",
        "mirror of local response normalization; default: as in the paper",
        choices=_NORMALIZATIONS,
    ),
)
RULE = (
    Option("--rectifier", "deconvnet, gradient, guided, identity, rectgrad(98)", "deconvnet"),
    *CHOICES,
)
NORMALISED = (
    Option("--mean", "mean of each channel in [0, 1], or one for all: .5,.5,.5", type=levels),
    Option("--std", "standard deviation of each channel, or one for all", type=levels),
)
BANDS = Option("--bands", "bands to show of more than three, from 0: R,G,B or one", type=numbers)
MODEL = (
    Option("model", _MODEL, type=expanded, metavar="MODEL"),
    Option("--weights", _WEIGHTS, type=expanded),
    Option("--size", "pixels of the model's input: 224, 28x32 or 1x28x28", type=shape),
    *NORMALISED,
    Option("--white", "white in 16-bit grey files: 4095 for 12 bits (65535)", type=int),
    Option("--exif-transpose", "rotate images as their EXIF orientation says", False),
)
LAYERS = (
    Option("--kinds", "K[,K...]: only layers of these kinds", type=words),
    Option("--depth", "one line for each module at this depth of names", type=int),
    Option("--check", "compare every node with the model itself, on noise", False),
)
_METHODS = "gradient,deconvnet,guided"
RECTIFIERS = Option("--rectifiers", "rules to compare", _METHODS, words, metavar=POLICIES)
IMAGES = Option("images", "image files", type=expanded, metavar="IMAGE", nargs="+")
FIGURE = (
    Option("--output", "figure to write: .pdf, .png, .svg, .eps or .tiff", type=expanded),
    Option("--width", "ieee, nature-full, neurips, …, 89mm, 3.5in", "cvpr-full"),
    Option("--title", "title above the figure"),
    Option("--caption", "add a line that says how the figure was drawn", False),
)
UNITS = (
    Option("--layer", "node name, see `deconvnet layers`; default: the last activation"),
    Option("--channel", "channels: C[,C...], C-C, or strongest:N in each image", "strongest:3"),
    Option("--position", "ROW,COL in the map; default: the strongest", type=numbers),
    Option("--seed", "value to project: the activation, one, or the whole map", "activation"),
)
TARGET = (
    Option("--layer", "node name, see `deconvnet layers`"),
    Option("--channel", "channel of the layer; default: its strongest", type=int),
    Option("--class", "class; default: the likeliest", type=int, metavar="INDEX", dest="class_"),
    Option("--target", _TARGET, nargs="+", metavar="TARGET"),
    RECTIFIERS,
    Option("--sign", f"which values are drawn: {_SIGNS}", "all", words, metavar="SIGN[,SIGN]"),
)
IMAGE = Option("image", "image file", type=expanded, metavar="IMAGE")
CLASS = Option("--target", "class, by index or name; default: the likeliest", type=class_)
LAYER = Option("--layer", "node name; default: the last rectifier with maps")
EXAMPLES = (
    Option(
        "--store", "store of this model; its exemplars are drawn beside the result", type=expanded
    ),
    Option(
        "--data", "data set of the store; needed if the store holds no projections", type=expanded
    ),
)
EVOLUTION = (
    Option("data", _DATA, type=expanded, metavar="DATA"),
    Option(
        "--checkpoints",
        "state dicts, or folders of them, in the order of the last number in their names",
        type=expanded,
        nargs="+",
        required=True,
    ),
    LAYER,
    Option("--channels", "0-15 or 3,7,9; default: six spread over the layer"),
)
ARCHITECTURES = (
    Option("models", f"a name for the figure, and {_MODEL}", metavar="NAME=MODEL", nargs="+"),
    Option("--data", _DATA, type=expanded, required=True),
    replace(MODEL[1], metavar="NAME=FILE", nargs="+", type=None),
    *MODEL[2:],
    Option("--radius", "filters of larger RMS are rescaled to it", 0.1, float),
)
OUTPUT = Option("--output", "store to write", type=expanded)
_MAX_BAD = "unreadable images allowed: a number or a percentage"
MAX_BAD = Option("--max-bad", _MAX_BAD, DEFAULT, limit, metavar="N")
DEVICE = Option("--device", "auto, cpu, cuda, …", "auto")
MINE = (
    Option("data", _DATA, type=expanded, metavar="DATA"),
    Option("--layers", "L[,L...]; default: every layer with units", type=words),
    Option("-k", "images per channel", 9, int),
    Option("--lowest", "images of lowest activation per channel", 0, int),
    Option("--sample", "images drawn at random, whose activations are stored", 0, int),
    Option("--rank", "rank images by the max or mean of a map", "max", choices=("max", "mean")),
    Option("--random-state", "seed that selects the sample", 0, int),
    Option(
        "--directions",
        "mine directions in a layer's channels too: LAYER=FILE.npy, (directions, channels)",
        type=directions,
        nargs="+",
    ),
    Option("--batch-size", "images per batch", 64, int),
    Option("--workers", "processes that read images", 0, int),
    Option("--restart", "start over and replace what is there", False),
    Option("--discard-groups", "replace a store with groups of yours, which are lost", False),
    Option("--save-every", "seconds between checkpoints", 30.0, float),
    Option("--threads", "CPU threads; default: as the run began, or PyTorch's", type=int),
    Option("--shard", "process I of N, from 0; default: from torchrun or SLURM", metavar="I/N"),
    Option("--store-patches", "write patches into the store", False),
    Option(
        "--store-projections",
        "write projections by these rectifiers into the store, too",
        [],
        words,
        metavar=POLICIES,
    ),
    Option("--dry-run", "estimate time, memory and disk space; write nothing", False),
    Option("--strict", "stop at the first unreadable image", False),
    Option("--fingerprint", "identify files by size or by content", "size", choices=_FILES),
    Option("--nan", "NaN activations: skip or error", "skip"),
)
PARTS = Option("parts", "folder of parts", type=expanded, metavar="DIR")
STORE = Option("store", "store that `deconvnet mine` wrote", type=expanded, metavar="STORE")
OF = Option(
    "--of", "channels, or directions: --channels are then numbers of directions", "channels"
)
EXEMPLARS = (
    Option("--layer", "one of the store's layers", required=True),
    Option("--channels", "0-15, 3,7,9, strongest:N or random:N", "strongest:12"),
    Option("-k", "images per channel; default: all that were mined", type=int),
    Option("--per-source", "images per channel from one photograph; default: any number", type=int),
    Option("--rows", "rows of channels on a page; default: as many as fit", type=int),
    Option("--columns", "channels in a row; default: as many as can be read", type=int),
    Option("--recompute", "ignore the pictures in the store; use model and data", False),
    Option("--end", "the strongest images, or the lowest", "strongest", choices=_ENDS),
)
FOLDER = Option("--output", "folder to write", type=expanded)
ATLAS = (
    Option("--layers", "L[,L...]; default: every layer of the store", type=words),
    Option("--rectifiers", "rules of the projections", "deconvnet", words, metavar=POLICIES),
    Option("-k", "images per channel, at most", 9, int),
    EXEMPLARS[3],
    Option("--feeds", "LAYER=LAYER_BELOW: name the channels that feed units", type=pair, nargs="+"),
    Option("--dry-run", "estimate time and disk space; write nothing", False),
)
VERIFY = (
    Option("-n", "entries to check, or all, which reads every image too", 100, count),
    Option("--random-state", "seed that selects the entries", 0, int, also=("--seed",)),
    Option("--exact", "require equality to the last bit", False),
)
MINED_MODEL = (
    Option("--model", "model to use instead of the one that the store names", type=expanded),
    Option("--weights", "weights to use instead of those that the store names", type=expanded),
)
MINED_DATA = Option(
    "--data", "data set to use instead of the one that the store names", type=expanded
)
