"""How the strongest responses of channels change from checkpoint to checkpoint of a training."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike, fspath
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import expanded, listed
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.data.samples import first_image
from deconvnet.figures import CurvePanel, Panel, pad_to, panels, signed
from deconvnet.net import DeconvNet
from deconvnet.units import Box, Exemplar
from deconvnet.zoo.state_dicts import load_state_dict

from .channels import numbered
from .given import net_of_pictures
from .result import Shown
from .strongest import projected, strongest
from .values import bar, channel_of, layer_of

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_CHANGED = "#d55e00"
_SUFFIXES = (".pth", ".pt", ".safetensors")
_FIRST = 6  # channels, spread over the layer, unless some are named


@dataclass(frozen=True, eq=False, repr=False)
class Evolution(Shown):
    """The strongest image of channels at every checkpoint, and its projection.

    Args:
        layer: of the channels.
        rectifier: the rule of the projections.
        numbers: of the checkpoints, ascending.
        exemplars: {channel: its strongest unit at each checkpoint}; ``unit.image`` is the index in
            the data set.
        sources: (checkpoints, channels of the layer) index of the strongest image; -1 for a channel
            that is never positive.

    Source: Zeiler & Fergus 2014, section 4 and figure 4, which shows epochs 1, 2, 5, 10, 20, 30, 40
    and 64.
    """

    layer: str
    rectifier: str
    numbers: Sequence[int]
    exemplars: Mapping[int, Sequence[Exemplar]]
    sources: NDArray[np.int64]

    @property
    def changed(self) -> NDArray[np.bool_]:
        """(checkpoints, channels): the strongest image is another than at the checkpoint before."""
        moved = np.zeros(self.sources.shape, dtype=bool)
        moved[1:] = self.sources[1:] != self.sources[:-1]
        return moved

    @property
    def shares(self) -> NDArray[np.float64]:
        """(checkpoints,) the share of the layer's channels whose strongest image has changed.

        NaN at the first checkpoint, before which there is none.
        """
        return np.concatenate([[np.nan], self.changed[1:].mean(1)])

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row a channel, a column a checkpoint; below them the share of channels that changed.

        An outline marks a column whose source image is another than in the column before. The
        arguments are those of every result, see ``Shown.figure``.
        """
        told = f"{self.layer} by {self.rectifier}; outlined where the source image has changed"
        rows: list[list[Panel | CurvePanel]] = [
            self._row(channel, first=place == 0) for place, channel in enumerate(self.exemplars)
        ]
        shares = {"": self.shares}
        rows.append(
            [CurvePanel(self.numbers, shares, "share of channels with another source image",
                        "checkpoint", low=0.0, high=1.0, aspect=0.2)]
        )  # fmt: skip
        names = [*(str(channel) for channel in self.exemplars), ""]
        return panels(
            rows, names=names, width=width, title=title, caption=told if caption else None,
            parent=parent,
        )  # fmt: skip

    def table(self) -> list[dict[str, object]]:
        """One row a channel and checkpoint: image, unit, activation, box, and if it changed."""
        return [
            {
                "checkpoint": number,
                **one.row(one.unit.image),
                "changed": bool(self.changed[place, channel]),
            }
            for channel, those in self.exemplars.items()
            for place, (number, one) in enumerate(zip(self.numbers, those, strict=True))
        ]

    def _row(self, channel: int, *, first: bool) -> list[Panel | CurvePanel]:
        shown = [signed(one.projection) for one in self.exemplars[channel]]
        most = [
            max(one.projection.shape[axis] for those in self.exemplars.values() for one in those)
            for axis in (0, 1)
        ]
        around = Box((0, 0), (most[0], most[1]))
        row: list[Panel | CurvePanel] = []
        for place, (number, picture) in enumerate(zip(self.numbers, shown, strict=True)):
            outlines = [(around, _CHANGED)] if self.changed[place, channel] else []
            label = str(number) if first else ""
            row.append(Panel(pad_to(picture, *most), label, outlines=outlines))
        return row


def evolution(
    net: DeconvNet | nn.Module,
    checkpoints: Any,
    data: Any,
    *,
    layer: str | nn.Module | None = None,
    channels: str | int | Sequence[int] | None = None,
    preprocessing: Any = None,
    progress: bool = True,
) -> Evolution:
    """Find the strongest image of channels at each checkpoint, and project it by that checkpoint.

    Args:
        net: the model, or a DeconvNet of it; its own weights play no part and stay as they are.
        checkpoints: files of state dicts, and folders of them, in the order of the last number in
            the names of the files; or {number: file or state dict}.
        data: the images, as for ``deconvnet.mine``.
        layer: by default the last rectifier with maps.
        channels: "0-5", numbers, or by default six that are spread over the layer.
        preprocessing: by default the data's own, else the model's.
        progress: show a bar after a second.

    Raises:
        KeyError, IndexError: no such layer or channel.
        ValueError: fewer than two checkpoints, two of one number, or one of another net.

    Source: Zeiler & Fergus 2014, section 4.
    """
    net = net_of_pictures(net)
    ordered = _ordered(checkpoints)
    data = given_dataset(data, preprocessing=preprocessing, model=net)
    prepared = needed_preprocessing(preprocessing, data=data, model=net, attributes={})
    for one in ordered.values():
        _load(copy.deepcopy(net.model), one)  # all are read before any work, and one is held
    first = first_image(data)[None]
    named = layer_of(net, first, layer)
    count = net.geometry(tuple(first.shape[1:]), [named]).sizes[named][1]
    chosen = _chosen(channels, named, count)
    made: dict[int, list[Exemplar]] = {channel: [] for channel in chosen}
    sources = np.full((len(ordered), count), -1, dtype=np.int64)
    at_each = bar(ordered.values(), "evolution", total=len(ordered), progress=progress)
    for place, checkpoint in enumerate(at_each):
        then = DeconvNet(_load(copy.deepcopy(net.model), checkpoint).eval(), net.policies)
        responses = strongest(then, data, [named])[named]
        sources[place, responses.alive] = responses.image[responses.alive]
        for channel in chosen:
            made[channel].append(
                projected(then, data, named, channel, responses, preprocessing=prepared)
            )
    return Evolution(named, str(net.policies.rectifier), list(ordered), made, sources)


def _ordered(checkpoints: Any) -> dict[int, Any]:
    """Checkpoints by their numbers, ascending."""
    if isinstance(checkpoints, Mapping):
        given = [(int(number), one) for number, one in checkpoints.items()]
    else:
        paths = [Path(expanded(one)) for one in listed(checkpoints, str, PathLike)]
        given = [(_number(file), file) for path in paths for file in _files(path)]
    numbers = [number for number, _ in given]
    if len(set(numbers)) != len(numbers) or len(numbers) < 2:
        raise ValueError(
            f"checkpoints have the numbers {sorted(numbers)}; expected two or more, all different"
        )
    return dict(sorted(given, key=lambda pair: pair[0]))


def _files(path: Path) -> list[Path]:
    """The file, or the state dicts in the folder.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: the folder holds none.
    """
    if not path.exists() and path.suffix not in _SUFFIXES:
        raise FileNotFoundError(f"checkpoints: there is no folder {str(path)!r}")
    if not path.is_dir():
        return [path]
    inside = [file for file in path.iterdir() if file.suffix in _SUFFIXES]
    if not inside:
        raise ValueError(f"there are no checkpoints in {str(path)!r}, no {' or '.join(_SUFFIXES)}")
    return inside


def _number(file: Path) -> int:
    numbers = re.findall(r"\d+", file.stem)
    if not numbers:
        raise ValueError(
            f"{str(file)!r} has no number in its name that says when it was saved; name the files "
            "that have one, or give {number: file}"
        )
    return int(numbers[-1])


def _load(model: nn.Module, checkpoint: Any) -> nn.Module:
    """The same model with the weights of a checkpoint.

    Raises:
        ValueError: they are not all of this model's weights.
    """
    if not isinstance(checkpoint, Mapping):
        load_state_dict(model, fspath(checkpoint))
        return model
    try:
        model.load_state_dict(checkpoint)
    except RuntimeError as error:
        kind = type(model).__name__
        raise ValueError(f"a checkpoint is not of this {kind}: {error}") from error
    return model


def _chosen(channels: Any, layer: str, count: int) -> list[int]:
    if channels is None:
        return sorted({int(n) for n in np.linspace(0, count - 1, _FIRST).round()})
    if isinstance(channels, str):
        return numbered(channels, count)
    return [channel_of(layer, one, count) for one in listed(channels, int, np.integer)]
