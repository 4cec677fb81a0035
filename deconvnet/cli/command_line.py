"""The commands: what each does, its example and its options."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from importlib.metadata import version

import deconvnet
from deconvnet.arguments import expanded

from .options import (
    ARCHITECTURES,
    ATLAS,
    BANDS,
    CHOICES,
    DEVICE,
    EVOLUTION,
    EXAMPLES,
    EXEMPLARS,
    FIGURE,
    FOLDER,
    IMAGE,
    IMAGES,
    LAYER,
    LAYERS,
    MAX_BAD,
    MINE,
    MINED_DATA,
    MINED_MODEL,
    MODEL,
    NORMALISED,
    OF,
    OUTPUT,
    PARTS,
    RECTIFIERS,
    RULE,
    STORE,
    TARGET,
    UNITS,
    VERIFY,
    Option,
)
from .study_options import (
    BELOW,
    CLASS_MODEL,
    CORRESPONDENCE,
    FIELD,
    INVARIANCE,
    LOCALIZE,
    NATURAL,
    OCCLUSION,
    SANITY,
    TRACE,
    WHY,
)


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
        [*MODEL, IMAGES, *UNITS, *RULE, BANDS, *FIGURE],
        "outputs/visualize.png",
    ),
    "mine": Command(
        "Find each channel's top-k images in a data set and write them to an HDF5 store.",
        "torchvision:vgg16 --weights DEFAULT photos/ -o outputs/top9.h5 "
        "--layers features.22,features.29",
        [*MODEL, *MINE, *CHOICES, MAX_BAD, DEVICE, OUTPUT],
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
        [STORE, *EXEMPLARS, OF, *MINED_MODEL, MINED_DATA, *NORMALISED, *RULE, BANDS, *FIGURE],
        "outputs/figure2.pdf",
        aliases=["figure"],
    ),
    "compare": Command(
        "Compare rectifiers on classes, units or regions of feature maps.",
        "torchvision:vgg16 --weights DEFAULT cat.jpg dog.jpg -o methods.pdf",
        [*MODEL, IMAGES, *TARGET, *CHOICES, BANDS, *FIGURE],
        "outputs/methods.pdf",
    ),
    "spectrum": Command(
        "Draw channels from their lowest images over a random sample to their strongest.",
        "outputs/top9.h5 --layer features.22 --channels strongest:4 -o spectrum.pdf",
        [
            STORE,
            EXEMPLARS[0],
            replace(EXEMPLARS[1], default="strongest:4"),
            OF,
            *MINED_MODEL,
            MINED_DATA,
            *RULE,
            *FIGURE,
        ],
        "outputs/spectrum.pdf",
    ),
    "similarity": Command(
        "Correlate a layer's channels over the random sample of a store.",
        "outputs/top9.h5 --layer features.22 -o similarity.pdf",
        [
            STORE,
            EXEMPLARS[0],
            Option("--pairs", "most similar and most opposite pairs to tell", 12, int),
            *FIGURE,
        ],
        "outputs/similarity.pdf",
    ),
    "feeds": Command(
        "Find the channels of a layer below that add most to a unit.",
        "torchvision:vgg16 --weights DEFAULT cat.jpg --unit features.22:42 --at features.15",
        [
            *MODEL,
            replace(IMAGES, help="image files; or a store, for the images that were mined"),
            *BELOW,
            Option("--channels", "how many channels to show", 8, int),
            MINED_DATA,
            *RULE,
            *FIGURE,
        ],
        "outputs/feeds.pdf",
    ),
    "facets": Command(
        "Split a unit's top images into groups that the same channels below feed.",
        "outputs/top50.h5 --unit features.22:42 --at features.15 --clusters 3",
        [
            STORE,
            *BELOW,
            Option("--clusters", "how many groups", 2, int),
            Option("--random-state", "seed of the groups", 0, int),
            *MINED_MODEL,
            MINED_DATA,
            *RULE,
            *FIGURE,
        ],
        "outputs/facets.pdf",
    ),
    "atlas": Command(
        "Write every unit of a store as pages for a browser: no server, no network.",
        "outputs/top9.h5 -o atlas/ --layers features.22,features.29",
        [STORE, *ATLAS, *MINED_MODEL, MINED_DATA, *NORMALISED, *CHOICES, FOLDER],
        "outputs/atlas",
    ),
    "trace": Command(
        "Follow the signal of one unit down to the pixels of one image, node by node.",
        "torchvision:vgg16 --weights DEFAULT cat.jpg --unit features.22:155 -o trace.pdf",
        [*MODEL, IMAGE, *TRACE, *RULE, *FIGURE],
        "outputs/trace.pdf",
    ),
    "relu-table": Command(
        "Show with numbers what each rule does at a ReLU (Springenberg et al., figure 1).",
        "-o relu.pdf",
        [RECTIFIERS, *FIGURE],
        "outputs/relu_table.pdf",
    ),
    "invariance": Command(
        "Shift, scale and turn images and see how far features move (Zeiler & Fergus, figure 5).",
        "torchvision:vgg16 --weights DEFAULT dog.jpg car.jpg -o invariance.pdf",
        [*MODEL, IMAGES, *INVARIANCE, *CHOICES, *FIGURE],
        "outputs/invariance.pdf",
    ),
    "evolution": Command(
        "Follow channels' strongest responses through a training (Zeiler & Fergus, figure 4).",
        "zoo:zfnet_mini photos/ --checkpoints epochs/ --layer relu4 -o evolution.pdf",
        [*MODEL, *EVOLUTION, *RULE, *FIGURE],
        "outputs/evolution.pdf",
    ),
    "architectures": Command(
        "Compare the first two layers of models (Zeiler & Fergus, figure 6).",
        "alexnet=torchvision:alexnet zf=zoo:zfnet_mini --data photos/ --weights alexnet=DEFAULT "
        "-o architectures.pdf",
        [*ARCHITECTURES, *RULE, *FIGURE],
        "outputs/architectures.pdf",
    ),
    "sanity": Command(
        "Compare maps with those of the same model with random weights (Adebayo et al., 2018).",
        "torchvision:vgg16 --weights DEFAULT photos/a.jpg photos/b.jpg -o sanity.pdf",
        [*MODEL, IMAGES, *SANITY, *CHOICES, *FIGURE],
        "outputs/sanity.pdf",
    ),
    "why": Command(
        "Show why a model takes one class for another: maps, units, and regions that decide.",
        "torchvision:vgg16 --weights DEFAULT dog.jpg --true 207 -o why.pdf",
        [*MODEL, IMAGE, *WHY, *EXAMPLES, *RULE, *FIGURE],
        "outputs/why.pdf",
    ),
    "correspondence": Command(
        "Hide a part of images and compare how features change (Zeiler & Fergus, table 1).",
        "torchvision:vgg16 --weights DEFAULT a.jpg b.jpg --part eye=40,60,70,90/50,64,80,94 "
        "-o correspondence.pdf",
        [*MODEL, IMAGES, *CORRESPONDENCE, *CHOICES, *FIGURE],
        "outputs/correspondence.pdf",
    ),
    "effective-field": Command(
        "Measure how much of its receptive field a layer's central unit responds to (Luo 2016).",
        "torchvision:vgg16 --weights DEFAULT photos/a.jpg photos/b.jpg --layer features.29 "
        "-o field.pdf",
        [*MODEL, IMAGES, LAYER, FIELD, *CHOICES, *FIGURE],
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
        "torchvision:vgg16 --weights DEFAULT --target 151,207 --images dog.jpg cat.jpg "
        "-o classes.pdf",
        [*MODEL, NATURAL, *CLASS_MODEL, *EXAMPLES, *CHOICES, *FIGURE],
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
        "outputs/top9.h5 --rectifiers deconvnet,guided",
        [
            STORE,
            replace(RECTIFIERS, default=[], help="rules of projections", also=("--projections",)),
            *CHOICES,
            *MINED_MODEL,
            MINED_DATA,
            *NORMALISED,
            replace(OUTPUT, help="new store; default: replace STORE"),
        ],
    ),
}


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The options of a command; exits with the usage of that command if they are not its own."""
    options, unknown = command_line().parse_known_args(arguments)
    if unknown:
        known = [option.name for option in COMMANDS[options.command].options]
        near = get_close_matches(unknown[0].partition("=")[0], known, 3)
        nearest = f"; the nearest options are {', '.join(near)}" if near else ""
        options.refuse(f"unrecognized arguments: {' '.join(unknown)}{nearest}")
    del options.refuse
    return options


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
        # the name also where an alias was typed; its own usage for options that it does not know
        parser.set_defaults(command=name, refuse=parser.error)
        for option in (*command.options, Option("--json", "print the result as JSON", False)):
            is_output = option.name == "--output"
            (replace(option, default=command.output) if is_output else option).add(parser)
    return made
