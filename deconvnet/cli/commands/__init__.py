"""One file per command; its ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deconvnet.layers import Policies
    from deconvnet.net import DeconvNet
    from deconvnet.studies.result import Shown
    from deconvnet.zoo.load import LoadedModel


def load_model(options: argparse.Namespace) -> LoadedModel:
    """Load the model that the options name, with the preprocessing they ask for."""
    from deconvnet.zoo.load import load

    changed: dict[str, object] = {"mean": options.mean, "std": options.std, "white": options.white}
    if options.exif_transpose:
        changed["orientation"] = "exif"
    changed |= {"size": options.size, "bands": getattr(options, "bands", None)}
    return load(options.model, options.weights, preprocessing=changed)


def check(options: argparse.Namespace) -> None:
    """Check what can be checked before a model is loaded, which may take long.

    That is the name of the figure and its width, the rules and choices of the mirror, and whether
    the image files are there.
    """
    from pathlib import Path

    from deconvnet.data.image_files import check_readable
    from deconvnet.figures import suffix_of, width

    given = vars(options)
    if "width" in given:
        suffix_of(Path(options.output))
        width(options.width)
    rules = [given[name] for name in ("rectifier",) if name in given]
    for name in ("rectifiers", "projections", "store_projections"):
        rules += given.get(name) or []
    for rule in rules:
        policies(rule, options)
    for file in given.get("images", ()):
        check_readable(file)


def policies(rule: str, options: argparse.Namespace) -> Policies:
    """The policies of a rule and of the choices among the options."""
    from deconvnet.layers import Policies

    return Policies.of(
        rule,
        options.fallback,
        normalization=options.normalization,
        unpooling=options.unpooling,
    )


def mirrored(
    loaded: LoadedModel, options: argparse.Namespace, rule: str | None = None
) -> DeconvNet:
    """The DeconvNet that the options ask for."""
    from deconvnet.net import DeconvNet

    chosen = policies(rule or options.rectifier, options)
    stated = loaded.preprocessing if loaded.stated else None
    return DeconvNet(loaded.model, chosen, input_size=loaded.shape, preprocessing=stated)


def load_net(options: argparse.Namespace, rule: str | None = None) -> tuple[LoadedModel, DeconvNet]:
    """Check the options, load the model, and mirror it."""
    check(options)
    loaded = load_model(options)
    return loaded, mirrored(loaded, options, rule)


def said(text: str, options: argparse.Namespace) -> None:
    """Print a message; to standard error with ``--json``, since standard output is for JSON."""
    import sys

    from deconvnet.cli.text import printable

    print(printable(text, kept="\n"), file=sys.stderr if options.json else sys.stdout)


def drawn(result: Shown, options: argparse.Namespace, loaded: LoadedModel) -> dict[str, Any]:
    """Save the figure of a result with its provenance, and print its table."""
    made = {"model": loaded.spec, "weights": loaded.weights}
    result.save(options.output, width=options.width, provenance=made)
    rows = result.table()
    for row in rows:
        said(f"{row['image']}: {row['unit']} = {row['activation']:.4g}, box {row['box']}", options)
    said(options.output, options)
    return {"figure": options.output, "units": rows}
