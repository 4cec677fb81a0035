"""The options of the commands that ask one question of a model."""

from __future__ import annotations

from dataclasses import replace

from deconvnet.arguments import expanded

from .options import (
    CHOICES,
    CLASS,
    LAYER,
    RECTIFIERS,
    RULE,
    Option,
    class_,
    fill,
    numbers,
    words,
)

_ORDERS, _INITS = ("top-down", "bottom-up", "independent"), ("truncated_normal", "reset")


def stages(text: str) -> int | list[str]:
    """How many, or words: 8 or layer4,layer3."""
    return int(text) if text.isdecimal() else words(text)


def part(text: str) -> tuple[str, list[tuple[int, ...]]]:
    """A part and its boxes: eye=3,4,9,9/2,4,8,9."""
    name, _, boxes = text.partition("=")
    return name, [numbers(box) for box in boxes.split("/")]


def classes(text: str) -> list[int | str]:
    """Classes, by their indices or names."""
    return list(map(class_, words(text)))


OCCLUSION = (
    CLASS,
    LAYER,
    Option("--channel", "feature map; default: the one with the greatest sum", type=int),
    Option("--square", "side of the square in pixels; default: a fifth of the image", type=int),
    Option("--stride", "pixels between positions; default: a quarter of that", type=int),
    Option("--value", "what fills the square: grey, mean or V[,V...]", "grey", fill),
)
BELOW = (
    Option("--unit", "LAYER:CHANNEL, or LAYER:CHANNEL@ROW,COL", required=True),
    Option("--at", "a layer below the unit's", required=True),
)
TRACE = (
    Option(
        "--unit", "LAYER:CHANNEL, or LAYER:CHANNEL@ROW,COL; default: the strongest", required=True
    ),
    Option(
        "--nodes", "N[,N...]: nodes to show; default: those of filters, ReLUs, pools", type=words
    ),
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
    *CHOICES,
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
    Option("--random-state", "seed of the random parts that serve as the control", 0, int),
)
WHY = (
    Option("--true", "class that was expected, by index or name", type=class_, required=True),
    Option("--predicted", "the other class; default: the likeliest", type=class_),
    LAYER,
    Option(
        "--value", "what fills the square that hides a region: grey, mean or V[,V...]", "grey", fill
    ),
)
SANITY = (
    Option("--target", "class, likeliest (anew each time), a class, or LAYER:C[@ROW,COL]", "class"),
    RECTIFIERS,
    Option("--order", "which weights are drawn first, or each alone", "top-down", choices=_ORDERS),
    Option("--stages", "at most how many, or L[,L...]: layers or modules to draw", 8, stages),
    Option("--init", "how weights are drawn", "truncated_normal", choices=_INITS),
    Option("--init-std", "standard deviation of truncated_normal", 0.01, float),
    Option("--random-state", "seed of the weights and of the noise", 0, int),
    Option("--noisy", "noisy copies of each image over which maps are averaged", 0, int),
    Option("--shown", "images whose maps are drawn", 1, int),
)
NATURAL = Option(
    "--images", "natural images to show beside", type=expanded, metavar="IMAGE", nargs="+"
)
CLASS_MODEL = (
    Option("--target", "classes, by index or name: C[,C...]", type=classes, required=True),
    Option("--penalty", "weight of the squared norm; default: by the zero image", type=float),
    Option("--steps", "steps of gradient ascent", 100, int),
    Option("--rate", "share of the way that a step goes", 0.1, float),
)
