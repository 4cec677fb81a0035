"""One file per command; its ``run(options)`` returns what ``--json`` prints."""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from deconvnet.arguments import numeral

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
    for file in given.get("images") or ():
        check_readable(file)


def policies(rule: str, options: argparse.Namespace) -> Policies:
    """The policies of a rule and of those of the choices that the command has as options."""
    from deconvnet.layers import Policies

    given = vars(options)
    return Policies.of(
        rule,
        given.get("fallback"),
        normalization=given.get("normalization"),
        unpooling=given.get("unpooling", "switches"),
    )


def mirrored(
    loaded: LoadedModel, options: argparse.Namespace, rule: str | None = None
) -> DeconvNet:
    """The DeconvNet that the options ask for."""
    from deconvnet.net import DeconvNet

    chosen = policies(rule or options.rectifier, options)
    stated = loaded.preprocessing if loaded.stated else None
    return DeconvNet(loaded.model, chosen, input_size=loaded.shape, preprocessing=stated)


def warn_of_usual(loaded: LoadedModel) -> None:
    """Tell how image files are preprocessed where nobody has stated it.

    Files of signals and videos hold what the model takes.
    """
    import warnings

    size = loaded.preprocessing.shape
    if loaded.stated or size is None or len(size) != 3:
        return
    told = loaded.preprocessing.to_json()
    warnings.warn(
        f"{loaded.spec} states no preprocessing, and images are read by the usual one, {told}; if "
        "the model was trained by another, give --size, --mean and --std",
        stacklevel=2,
    )


def load_net(options: argparse.Namespace, rule: str | None = None) -> tuple[LoadedModel, DeconvNet]:
    """Check the options, load the model, and mirror it."""
    check(options)
    loaded = load_model(options)
    warn_of_usual(loaded)
    return loaded, mirrored(loaded, options, rule)


def said(text: str, options: argparse.Namespace) -> None:
    """Print a message; to standard error with ``--json``, since standard output is for JSON."""
    import sys

    from deconvnet.cli.text import printable

    print(printable(text, kept="\n"), file=sys.stderr if options.json else sys.stdout)


def saved(result: Shown, options: argparse.Namespace, how: dict[str, Any]) -> None:
    """Save the figure of a result as the options say, with its provenance."""
    result.save(
        options.output,
        width=options.width,
        title=options.title,
        caption=options.caption,
        provenance=how,
    )


def drawn(result: Shown, options: argparse.Namespace, loaded: LoadedModel) -> dict[str, Any]:
    """Save the figure of a result with its provenance, and print its table."""
    saved(result, options, {"model": loaded.spec, "weights": loaded.weights})
    rows = result.table()
    for row in rows:
        said(
            f"{row['image']}: {row['unit']} = {numeral(row['activation'])}, box {row['box']}",
            options,
        )
    said(options.output, options)
    return {"figure": options.output, "units": rows}


def class_names(loaded: LoadedModel, *, target: object = None) -> Sequence[str] | None:
    """The names of a model's classes, as far as known; None if its scores are still random.

    Raises:
        ValueError: they are, and a class was named, as the target.
    """
    from deconvnet import zoo

    if loaded.untrained and target is None:
        return None
    if loaded.untrained:
        raise ValueError(
            f"the class scores are not covered by the weights, which end below "
            f"{loaded.untrained[0]}; give weights of the whole model"
        )
    return zoo.class_names() if loaded.spec == "zoo:zfnet_mini" else ()


def trained_classes(loaded: LoadedModel) -> Sequence[str]:
    """``class_names``, of a model whose scores must be trained."""
    return class_names(loaded, target="needed") or ()


def mined(options: argparse.Namespace, loaded: LoadedModel) -> dict[str, Any]:
    """The store of the options and its data set, for exemplars beside a study."""
    from deconvnet.data.resolve import dataset
    from deconvnet.store.store import open_store

    store = open_store(options.store) if options.store else None
    data = dataset(options.data, loaded.preprocessing) if options.data else None
    return {"store": store, "data": data}


def finished(
    result: Shown,
    options: argparse.Namespace,
    how: dict[str, Any] | LoadedModel,
    *,
    told: Sequence[Mapping[str, object]] | None = None,
) -> dict[str, Any]:
    """Save the figure of a study, print the first rows of its table, and give all of them.

    Rows that are ``told`` are printed instead.
    """
    from deconvnet.cli.text import table

    if not isinstance(how, dict):
        how = {"model": how.spec, "weights": how.weights}
    saved(result, options, how)
    rows = result.table()
    for line in (*table(rows if told is None else told), options.output):
        said(line, options)
    return {"figure": options.output, "rows": rows}
