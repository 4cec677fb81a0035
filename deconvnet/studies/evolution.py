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
import torch
from numpy.typing import NDArray
from torch import nn

from deconvnet.arguments import expanded, listed
from deconvnet.data.resolve import given_dataset, needed_preprocessing
from deconvnet.figures import CurvePanel, Panel, pad_to, panels, signed
from deconvnet.mining.exemplars import project_units
from deconvnet.net import DeconvNet
from deconvnet.units import Box, Exemplar, Unit
from deconvnet.zoo.state_dicts import load_state_dict

from .channels import numbered
from .given import net_of
from .result import Shown
from .values import AT_ONCE, bar, channel_of, layer_of, values

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

_CHANGED = "#d55e00"
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
        """(checkpoints,) the share of the layer's channels whose strongest image has changed."""
        return np.asarray(self.changed.mean(1))

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
        checkpoints: a folder, or files of state dicts, in the order of the last number in their
            names; or {number: file or state dict}.
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
    net = net_of(net)
    ordered = _ordered(checkpoints)
    data = given_dataset(data, preprocessing=preprocessing, model=net)
    prepared = needed_preprocessing(preprocessing, data=data, model=net, attributes={})
    nets = {number: _at(net, one) for number, one in ordered.items()}  # all are read before work
    first = data[0][None]
    named = layer_of(net, first, layer)
    count = net.geometry(tuple(first.shape[1:]), [named]).sizes[named][1]
    chosen = _chosen(channels, named, count)
    made: dict[int, list[Exemplar]] = {channel: [] for channel in chosen}
    sources = np.full((len(nets), count), -1, dtype=np.int64)
    for place, one in enumerate(
        bar(nets.values(), "evolution", total=len(nets), progress=progress)
    ):
        highest, images, positions = _strongest(one, data, named)
        alive = highest > 0
        sources[place, alive] = images[alive]
        for channel in chosen:
            at = tuple(int(n) for n in positions[channel])
            unit = Unit.at(named, channel, position=at)
            source = int(images[channel])
            (drawn,) = project_units(one, data[source][None], [unit], preprocessing=prepared)
            moved = Unit.at(named, channel, position=at, image=source)
            made[channel].append(
                Exemplar(moved, drawn.activation, drawn.box, drawn.overhang, drawn.patch,
                         drawn.projection)
            )  # fmt: skip
    return Evolution(named, str(net.policies.rectifier), list(nets), made, sources)


def _strongest(
    net: DeconvNet, data: Any, layer: str
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]]:
    """For each channel its highest value in a data set, the first image that has it, and where."""
    best: Any = None
    for first in range(0, len(data), AT_ONCE):
        some = range(first, min(first + AT_ONCE, len(data)))
        maps = values(net, torch.stack([data[i] for i in some]), [layer], progress=False)[layer]
        flat = maps.double().flatten(2)
        high, place = flat.max(2)
        top, image = high.max(0)
        at = place.gather(0, image[None])[0]
        axes = torch.stack(torch.unravel_index(at, maps.shape[2:]), dim=1)
        now = (top.cpu().numpy(), image.cpu().numpy() + first, axes.cpu().numpy())
        if best is None:
            best = now
            continue
        higher = now[0] > best[0]
        best = tuple(
            np.where(higher if old.ndim == 1 else higher[:, None], new, old)
            for new, old in zip(now, best, strict=True)
        )
    return best  # type: ignore[no-any-return]


def _ordered(checkpoints: Any) -> dict[int, Any]:
    """Checkpoints by their numbers, ascending."""
    if isinstance(checkpoints, Mapping):
        given = [(int(number), one) for number, one in checkpoints.items()]
    else:
        files = listed(checkpoints, str, PathLike)
        if len(files) == 1 and Path(expanded(files[0])).is_dir():
            inside = Path(expanded(files[0])).iterdir()
            files = [f for f in inside if f.suffix in (".pth", ".pt", ".safetensors")]
        given = [(_number(fspath(file)), file) for file in files]
    numbers = [number for number, _ in given]
    if len(set(numbers)) != len(numbers) or len(numbers) < 2:
        raise ValueError(
            f"checkpoints have the numbers {sorted(numbers)}; expected two or more, each of another"
        )
    return dict(sorted(given, key=lambda pair: pair[0]))


def _number(file: str) -> int:
    numbers = re.findall(r"\d+", Path(file).stem)
    if not numbers:
        raise ValueError(
            f"{file!r} has no number in its name to say when it was kept; give {{number: file}}"
        )
    return int(numbers[-1])


def _at(net: DeconvNet, checkpoint: Any) -> DeconvNet:
    """The net with other weights, in a copy of its model.

    Raises:
        ValueError: they are not all of this model's weights.
    """
    model = copy.deepcopy(net.model)
    if isinstance(checkpoint, Mapping):
        try:
            model.load_state_dict(checkpoint)
        except RuntimeError as error:
            kind = type(model).__name__
            raise ValueError(f"a checkpoint is not of this {kind}: {error}") from error
    else:
        load_state_dict(model, fspath(checkpoint))
    return DeconvNet(model.eval(), net.policies)


def _chosen(channels: Any, layer: str, count: int) -> list[int]:
    if channels is None:
        return sorted({int(n) for n in np.linspace(0, count - 1, _FIRST).round()})
    if isinstance(channels, str):
        return numbered(channels, count)
    return [channel_of(layer, one, count) for one in listed(channels, int, np.integer)]
