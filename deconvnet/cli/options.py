"""The commands and their options; nothing here imports torch, so that help is quick."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any

import deconvnet
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


def colours(text: str) -> tuple[float, ...]:
    """One number for each of three colours: .5,.5,.5."""
    return tuple(_parsed(text, lambda all_: list(map(float, all_.split(","))), "R,G,B: .5,.5,.5"))


def count(text: str) -> int | None:
    """A number, or None for all."""
    return None if text == "all" else int(_parsed(text, int, "a number or all"))


def class_(text: str) -> int | str:
    """A class, by its index or its name."""
    return int(text) if text.isdigit() else text


def classes(text: str) -> list[int | str]:
    """Classes, by their indices or names."""
    return list(map(class_, words(text)))


def fill(text: str) -> str | list[float]:
    """What covers a part of an image: grey, mean, or numbers."""
    if text in ("grey", "mean"):
        return text
    return list(_parsed(text, lambda all_: list(map(float, all_.split(","))), "grey, mean or 0,0"))


def part(text: str) -> tuple[str, list[tuple[int, ...]]]:
    """A part and its boxes: eye=3,4,9,9/2,4,8,9."""
    name, _, boxes = text.partition("=")
    return name, [numbers(box) for box in boxes.split("/")]


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

    def add(self, parser: argparse.ArgumentParser) -> None:
        """Add it to a parser; one whose default is False is a switch."""
        names = ["-o", self.name] if self.name == "--output" else [self.name]
        if self.default is False:
            parser.add_argument(*names, action="store_true", help=self.help)
            return
        told = "" if self.default in (None, []) else " (%(default)s)"
        given = {name: value for name, value in vars(self).items() if value is not None}
        del given["name"]
        parser.add_argument(*names, **{**given, "help": self.help + told})


_MODEL = "torchvision:NAME, zoo:NAME, path/to/file.py:factory or package.module:factory"
_WEIGHTS = "state dict or checkpoint (.pth, .safetensors), or torchvision's: DEFAULT"
_DATA = "folder of images, list of images (.txt), hf:PATH[:COLUMN], or a factory like MODEL's"
_FILES = ("size", "content")
_RULES = ("derivative", "rectify")
_POLICIES = "RECTIFIER[,RECTIFIER]"
RULE = (
    Option("--rectifier", "deconvnet, gradient, guided, identity, rectgrad(98)", "deconvnet"),
    Option("--fallback", "what to do at activations without a rule", choices=_RULES),
)
MODEL = (
    Option("model", _MODEL, type=expanded, metavar="MODEL"),
    Option("--weights", _WEIGHTS, type=expanded),
    Option("--size", "height and width of the model's input, in pixels", type=int),
    Option("--mean", "R,G,B of the normalisation", type=colours),
    Option("--std", "R,G,B of the normalisation", type=colours),
    Option("--white", "white in 16-bit grey files: 4095 for 12 bits (65535)", type=int),
    Option("--exif-transpose", "rotate images as their EXIF orientation says", False),
)
LAYERS = (
    Option("--kinds", "K[,K...]: only layers of these kinds", type=words),
    Option("--depth", "one line for each module at this depth of names", type=int),
    Option("--check", "compare every node with the model itself, on noise", False),
)
IMAGES = Option("images", "image files", type=expanded, metavar="IMAGE", nargs="+")
FIGURE = (
    Option("--output", "figure to write: .pdf, .png or .svg", type=expanded),
    Option("--width", "inches, or a venue's text width: icml, neurips, …", "cvpr-full"),
)
UNITS = (
    Option("--layer", "node name, see `deconvnet layers`", required=True),
    Option("--channel", "one or several channels: C[,C...]", type=numbers, required=True),
    Option("--position", "ROW,COL in the map; default: the strongest", type=numbers),
    Option("--seed", "value to start from: activation, one or map", "activation"),
)
TARGET = (
    Option("--layer", "node name, see `deconvnet layers`"),
    Option("--channel", "channel of the layer", type=int),
    Option("--class", "class; default: the likeliest", type=int, metavar="INDEX", dest="class_"),
)
IMAGE = Option("image", "image file", type=expanded, metavar="IMAGE")
CLASS = Option("--target", "class, by index or name; default: the likeliest", type=class_)
LAYER = Option("--layer", "node name; default: the last rectifier with maps")
EXAMPLES = (
    Option("--store", "store of this model, for exemplars beside", type=expanded),
    Option("--data", "DATA of the store, if it holds no projections", type=expanded),
)
OCCLUSION = (
    CLASS,
    LAYER,
    Option("--channel", "feature map; default: the one with the greatest sum", type=int),
    Option("--square", "side of the square in pixels; default: a fifth of the image", type=int),
    Option("--stride", "pixels between positions; default: a quarter of that", type=int),
    Option("--value", "what fills the square: grey, mean or V[,V...]", "grey", fill),
)
LOCALIZE = (
    CLASS,
    Option("--method", "threshold, or grabcut, which needs OpenCV", "threshold"),
    Option("--threshold", "share of the greatest saliency, of method threshold", 0.2, float),
    Option(
        "--boxes",
        "true box of each image in pixels of the model's input: T,L,B,R",
        type=numbers,
        nargs="+",
    ),
    replace(RULE[0], default="gradient"),
    RULE[1],
)
FIELD = Option("--channels", "C[,C...]; default: 16 spread over the layer", type=numbers)
INVARIANCE = (
    CLASS,
    Option("--layers", "L[,L...]; default: the first and the last rectifier", type=words),
    Option("--transforms", "T[,T...] of translation, scale, rotation; default: all", type=words),
)
CORRESPONDENCE = (
    Option(
        "--part",
        "a part and its box in each image, in pixels of the model's input: NAME=T,L,B,R/T,L,B,R",
        type=part,
        nargs="+",
        required=True,
    ),
    Option("--layers", "L[,L...]; default: the last rectifier with maps", type=words),
    Option("--value", "what fills the parts: grey, mean or V[,V...]", "grey", fill),
    Option("--random-state", "of the random part and of the null", 0, int),
)
NATURAL = Option("images", "natural images", type=expanded, metavar="IMAGE", nargs="*")
CLASS_MODEL = (
    Option("--target", "classes, by index or name: C[,C...]", type=classes, required=True),
    Option("--penalty", "weight of the squared norm; default: by the zero image", type=float),
    Option("--steps", "of the ascent", 100, int),
    Option("--rate", "share of the way that a step goes", 0.1, float),
)
OUTPUT = Option("--output", "store to write", type=expanded)
_MAX_BAD = "unreadable images allowed: a number or a percentage"
MAX_BAD = Option("--max-bad", _MAX_BAD, DEFAULT, limit, metavar="N")
DEVICE = Option("--device", "auto, cpu, cuda, …", "auto")
MINE = (
    Option("data", _DATA, type=expanded, metavar="DATA"),
    Option("--layers", "L[,L...]; default: every layer with units", type=words),
    Option("-k", "images per channel", 9, int),
    Option("--batch-size", "images per batch", 64, int),
    Option("--workers", "processes that read images", 0, int),
    Option("--restart", "start over and replace what is there", False),
    Option("--discard-groups", "replace a store with groups of yours, which are lost", False),
    Option("--save-every", "seconds between checkpoints", 30.0, float),
    Option("--threads", "CPU threads; default: as the run began, or PyTorch's", type=int),
    Option("--shard", "process I of N, from 0; default: from torchrun or SLURM", metavar="I/N"),
    Option("--store-patches", "write patches into the store, as JPEG", False),
    Option("--store-projections", "and projections", [], words, metavar=_POLICIES),
    Option("--dry-run", "estimate time, memory and disk space; write nothing", False),
    Option("--strict", "stop at the first unreadable image", False),
    Option("--fingerprint", "identify files by size or by content", "size", choices=_FILES),
    Option("--nan", "NaN activations: skip or error", "skip"),
)
PARTS = Option("parts", "folder of parts", type=expanded, metavar="DIR")
STORE = Option("store", "store that `deconvnet mine` wrote", type=expanded, metavar="STORE")
EXEMPLARS = (
    Option("--layer", "one of the store's layers", required=True),
    Option("--channels", "0-15, 3,7,9, strongest:N or random:N", "strongest:12"),
    Option("--recompute", "ignore the pictures in the store; use model and data", False),
)
VERIFY = (
    Option("-n", "entries to check, or all, which reads every image too", 100, count),
    Option("--seed", "seed that selects the entries", 0, int),
    Option("--exact", "require equality to the last bit", False),
)
MINED_MODEL = (
    Option("--model", "MODEL, if not the one that the store names", type=expanded),
    Option("--weights", "weights, if not where the store says", type=expanded),
)
MINED_DATA = Option("--data", "DATA, if not where the store says", type=expanded)


@dataclass(frozen=True)
class Command:
    """A command: description, example, options, default output and aliases."""

    does: str
    example: str
    options: Sequence[Option]
    output: str | None = None
    aliases: Sequence[str] = ()


COMMANDS = {
    "demo": Command(
        "Mine, project and draw with the embedded model and images; works offline.",
        "",
        [Option("--output", "folder to write", type=expanded)],
        "outputs/demo",
    ),
    "layers": Command(
        "List a model's layers: kind, channels, map size, receptive field, stride, rule.",
        "torchvision:resnet50 --size 224 --kinds Conv2d,ReLU",
        [*MODEL, *LAYERS, *RULE],
    ),
    "visualize": Command(
        "Show what chosen channels of a layer respond to in images.",
        "torchvision:vgg16 --weights DEFAULT cat.jpg --layer features.22 --channel 42,77 "
        "-o cat.png",
        [*MODEL, IMAGES, *UNITS, *RULE, *FIGURE],
        "outputs/visualize.png",
    ),
    "mine": Command(
        "Find each channel's top-k images in a data set and write them to an HDF5 store.",
        "torchvision:vgg16 --weights DEFAULT photos/ -o outputs/top9.h5 "
        "--layers features.22,features.29",
        [*MODEL, *MINE, RULE[1], MAX_BAD, DEVICE, OUTPUT],
        "outputs/top9.h5",
    ),
    "merge": Command(
        "Merge the parts of several `mine` processes into a store.",
        "outputs/top9.h5.parts -o outputs/top9.h5",
        [PARTS, MAX_BAD, *MINED_MODEL, OUTPUT],
        "outputs/top9.h5",
    ),
    "exemplars": Command(
        "Draw channels' top images beside their projections (Zeiler & Fergus, figure 2).",
        "outputs/top9.h5 --layer features.22 --channels strongest:12 -o fig2.pdf",
        [STORE, *EXEMPLARS, *MINED_MODEL, MINED_DATA, *RULE, *FIGURE],
        "outputs/figure2.pdf",
        aliases=["figure"],
    ),
    "compare": Command(
        "Compare gradient, deconvnet and guided on a unit or a class score.",
        "torchvision:vgg16 --weights DEFAULT cat.jpg dog.jpg -o methods.pdf",
        [*MODEL, IMAGES, *TARGET, RULE[1], *FIGURE],
        "outputs/methods.pdf",
    ),
    "invariance": Command(
        "Shift, scale and turn images and see how far features move (Zeiler & Fergus, figure 5).",
        "torchvision:vgg16 --weights DEFAULT dog.jpg car.jpg -o invariance.pdf",
        [*MODEL, IMAGES, *INVARIANCE, *FIGURE],
        "outputs/invariance.pdf",
    ),
    "correspondence": Command(
        "Hide a part of images and compare how features change (Zeiler & Fergus, table 1).",
        "torchvision:vgg16 --weights DEFAULT a.jpg b.jpg --part eye=40,60,70,90/50,64,80,94 "
        "-o correspondence.pdf",
        [*MODEL, IMAGES, *CORRESPONDENCE, *FIGURE],
        "outputs/correspondence.pdf",
    ),
    "effective-field": Command(
        "Measure how much of its receptive field a layer's central unit responds to (Luo 2016).",
        "torchvision:vgg16 --weights DEFAULT photos/a.jpg photos/b.jpg --layer features.29 "
        "-o field.pdf",
        [*MODEL, IMAGES, LAYER, FIELD, *FIGURE],
        "outputs/effective_field.pdf",
    ),
    "localize": Command(
        "Find a class in images: saliency, mask and box (Simonyan, section 3.2).",
        "torchvision:vgg16 --weights DEFAULT dog.jpg --boxes 20,30,200,180 -o boxes.pdf",
        [*MODEL, IMAGES, *LOCALIZE, *FIGURE],
        "outputs/localize.pdf",
    ),
    "class-model": Command(
        "Find the image that a model scores highest for a class (Simonyan, figure 1).",
        "torchvision:vgg16 --weights DEFAULT photos/a.jpg photos/b.jpg --target 151,207 "
        "-o classes.pdf",
        [*MODEL, NATURAL, *CLASS_MODEL, *EXAMPLES, *FIGURE],
        "outputs/class_model.pdf",
    ),
    "occlusion": Command(
        "Hide parts of an image and see what the model loses (Zeiler & Fergus, figure 7).",
        "torchvision:vgg16 --weights DEFAULT dog.jpg -o occlusion.pdf",
        [*MODEL, IMAGE, *OCCLUSION, *EXAMPLES, *RULE, *FIGURE],
        "outputs/occlusion.pdf",
    ),
    "info": Command(
        "Describe a store: how it was made, and what it holds.", "outputs/top9.h5", [STORE]
    ),
    "verify": Command(
        "Recompute random entries of a store and compare; exit with 1 if any differs.",
        "outputs/top9.h5 -n 100",
        [STORE, *VERIFY, *MINED_MODEL, MINED_DATA, DEVICE],
    ),
    "embed": Command(
        "Write patches, and projections on request, into an existing store.",
        "outputs/top9.h5 --projections deconvnet,guided",
        [
            STORE,
            Option("--projections", _POLICIES, [], words),
            RULE[1],
            *MINED_MODEL,
            MINED_DATA,
            replace(OUTPUT, help="new store; default: replace STORE"),
        ],
    ),
}


def command_line() -> argparse.ArgumentParser:
    """The parser of the command line."""
    made = argparse.ArgumentParser(
        prog="deconvnet",
        description=deconvnet.__doc__.splitlines()[0],
        epilog="Every command has its own --help with an example.",
    )
    made.add_argument("--version", action="version", version=version("deconvnet"))
    commands = made.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, command in COMMANDS.items():
        parser = commands.add_parser(
            name,
            aliases=command.aliases,
            help=command.does,
            description=command.does,
            epilog=f"example:\n  deconvnet {name} {command.example}".rstrip(),
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        parser.set_defaults(command=name)  # also where an alias was typed
        for option in (*command.options, Option("--json", "print the result as JSON", False)):
            is_output = option.name == "--output"
            (replace(option, default=command.output) if is_output else option).add(parser)
    return made
