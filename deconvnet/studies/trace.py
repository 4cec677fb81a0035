"""Follow the signal of one unit down the mirrored network, node by node."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from deconvnet.arguments import Brief, by, counted, listed
from deconvnet.figures import TraceRow, trace_column
from deconvnet.figures.canvas.lettering import digits
from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet
from deconvnet.projection.geometry import Step
from deconvnet.projection.recording import Recording
from deconvnet.projection.result import Projection
from deconvnet.units import Box, Unit

from .given import images_of, net_of
from .result import Shown

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

MOST = 16
"""Rows that are shown unless nodes are named; of deeper networks, those where sizes change."""

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class TracedNode(Brief):
    """The signal at the output of one node.

    Args:
        name: of the node.
        kind: what it is: "Conv2d".
        size: (channels, *size) of its value.
        channel: the one that is shown: of those that an activation and a pooling share with the
            filter below them, the one whose signal is strongest there. None where all are shown.
        activation: (height, width) its values in the forward pass, in this channel.
        signal: (height, width) the signal in this channel; (height, width, 3) at colour images.
        strength: (height, width) the L2 norm of the signal over all channels.
        norm: the L2 norm of the whole signal.
        reached: the share of its cells, over all channels, where the signal is not zero.
        negative: the share of these where it is negative.
        mirror: what is done to the signal from here to the next node that is shown, in words.
        switches: of a max pooling, the map below it in this channel: 1 where a maximum stood, 2
            where it passes a signal on.
    """

    name: str
    kind: str
    size: tuple[int, ...]
    channel: int | None
    activation: Map
    signal: Map
    strength: Map
    norm: float
    reached: float
    negative: float
    mirror: str
    switches: NDArray[np.uint8] | None = None


@dataclass(frozen=True, eq=False, repr=False)
class Trace(Shown):
    """The signal of one unit at the nodes on its way down.

    Args:
        unit: with its position.
        activation: its value, which the signal starts with.
        rectifier: the rule.
        image: the name of the image.
        model: name of its class.
        box: what the unit sees of the image, in pixels.
        nodes: from the unit's layer down to the images.
    """

    unit: Unit
    activation: float
    rectifier: str
    image: str
    model: str
    box: Box
    nodes: tuple[TracedNode, ...]

    def figure(
        self,
        *,
        width: str | float = "cvpr-full",
        title: str | None = None,
        caption: bool = False,
        parent: Figure | SubFigure | None = None,
    ) -> Figure:
        """A row for each node: its activation, its switches, and the signal that arrives there.

        All maps are cut at what the unit sees. The arguments are those of every result, see
        ``Shown.figure``.
        """
        rows = [
            TraceRow(
                node.name, _told(node), node.mirror, node.activation, node.signal, node.strength,
                node.switches,
            )
            for node in self.nodes
        ]  # fmt: skip
        told = f"{self.unit} = {digits(self.activation)}, by {self.rectifier}" if caption else None
        window = _window(self.box, self.nodes[-1].size[1:])
        return trace_column(
            rows, window=window, width=width, title=title, caption=told, parent=parent
        )

    def table(self) -> list[dict[str, object]]:
        """One row a node: its size, the channel shown, and how much of the signal is there."""
        names = ("kind", "size", "channel", "norm", "reached", "negative", "mirror")
        return [
            {"node": node.name, **{name: getattr(node, name) for name in names}}
            for node in self.nodes
        ]


def trace(
    net: DeconvNet | nn.Module,
    image: Any,
    unit: Unit | str,
    *,
    rectifier: str | Rectifier | None = None,
    nodes: str | Sequence[str] | None = None,
    preprocessing: Any = None,
) -> Trace:
    """Follow the signal of one unit from its layer down to the pixels of one image.

    Args:
        net: a DeconvNet, or a model.
        image: a path, a PIL image or an array; or a float tensor, preprocessed.
        unit: of any layer, or its name, such as "features.28:42"; without a position, the
            strongest of its channel.
        rectifier: as for ``DeconvNet``; by default that of the net, of a model "deconvnet".
        nodes: which to show beside the unit's layer and the image; by default convolutions,
            activations and poolings, or where these are more than ``MOST`` those where the size
            of the maps changes.
        preprocessing: reads the image; by default that of the net or model.

    Raises:
        KeyError, IndexError: no such layer, channel or position.
        UnmirroredError: an activation on the way has no rule under the rectifier.
        ValueError: several images, a unit that is zero, or a node that the signal does not reach.

    Source: Zeiler & Fergus 2014, section 2.1: unpool, rectify, filter.
    """
    net, one = net_of(net, rectifier), Unit.parse(unit) if isinstance(unit, str) else unit
    given = images_of(image, net, preprocessing=preprocessing)
    if len(given) != 1 or one.image != 0:
        raise ValueError(
            f"{counted(len(given), 'image')} and {one!r} were given; trace follows one image"
        )
    size = tuple(given.tensor.shape[1:])
    layer = net.graph.find(one.layer)
    geometry = net.geometry(size, [layer])
    wanted = [] if nodes is None else [net.graph.find(node) for node in listed(nodes, str)]
    names = [s.name for s in geometry.steps if len(geometry.sizes.get(s.node, ())) >= 2]
    names = [name for name in names if name in net.graph.nodes]
    recording = net.record(given.tensor, list(dict.fromkeys([layer, *names])))
    (projection,) = net.project(recording, units=one, crop=True)
    assert isinstance(projection, Projection), "with crop it is one"
    if projection.activation == 0:
        raise ValueError(
            f"{projection.unit} is 0 in {given.names[0]}, and so is its signal everywhere; choose "
            f"a unit that fires: visualize(net, image, layer={layer!r}) shows the strongest"
        )
    signals = net.signals(recording, projection.unit)
    assert isinstance(signals, dict), "of every node"
    for node in wanted:
        if node not in signals:
            raise ValueError(
                f"no signal of {one} comes to {node}; it comes to {', '.join(list(signals)[:8])}, …"
            )
    steps = {step.name: step for step in recording.steps}
    shown = [n for n in signals if n in wanted] if wanted else _chosen(steps, signals, recording)
    shown = list(dict.fromkeys([layer, *shown, recording.input]))
    kinds = {name: net.graph.nodes[name].kind for name in signals if name in net.graph.nodes}
    kinds[recording.input] = "image"
    colours = given.tensor.ndim == 4 and given.tensor.shape[1] == 3
    image = given.pictures[0] if colours else given.tensor[0]
    made = tuple(_nodes(recording, signals, shown, kinds=kinds, image=image))
    rule, kind = str(net.policies), type(net.model).__name__
    value = projection.activation
    return Trace(projection.unit, value, rule, given.names[0], kind, projection.box, made)


def _chosen(
    steps: Mapping[str, Step], signals: Mapping[str, Tensor], recording: Recording
) -> list[str]:
    """Filters, activations and poolings on the way, or of too many those where sizes change."""
    some = [n for n in signals if n in steps and (steps[n].layer.mined or n in recording.switches)]
    if len(some) <= MOST:
        return some
    ends = zip(some, some[1:], strict=False)
    kept = [up for up, low in ends if signals[up].shape[2:] != signals[low].shape[2:]]
    places = np.linspace(0, len(kept) - 1, min(MOST, len(kept))).round().astype(int)
    return [kept[i] for i in places]


def _channels(recording: Recording, signals: Mapping[str, Tensor]) -> dict[str, int]:
    """The channel to show of each node that has positions.

    An activation and a pooling show the channel of the filter below them, so that one map can be
    followed through a whole block: there, the signal is strongest in it.
    """
    lowest: dict[str, str] = {}
    for step in recording.steps:
        source = step.sources[0] if step.layer.channelwise and len(step.sources) == 1 else None
        alike = source is not None and source in signals
        lowest[step.name] = lowest.get(str(source), str(source)) if alike else step.name
    channels = {}
    for name in signals:
        below = lowest.get(name, name)
        strongest = signals[below if below in signals else name][0].abs()
        if strongest.ndim > 1:
            channels[name] = int(strongest.flatten(1).amax(1).argmax())
    return channels


def _nodes(
    recording: Recording,
    signals: Mapping[str, Tensor],
    shown: Sequence[str],
    *,
    kinds: Mapping[str, str],
    image: Map | Tensor,
) -> Iterator[TracedNode]:
    """The nodes that are shown, from top to bottom.

    The image is a picture (height, width, 3), shown in its colours; or a tensor of any axes and
    bands, of which one band is shown.
    """
    channels, order = _channels(recording, signals), list(signals)
    for name, lower in zip(shown, [*shown[1:], None], strict=True):
        signal, channel = signals[name][0].float().cpu(), channels.get(name)
        passed = order[order.index(name) : order.index(lower)] if lower else []
        if name == recording.input and not isinstance(image, Tensor):
            activation, single, channel = image, signal.movedim(0, -1).numpy(), None
        else:
            maps = torch.as_tensor(image) if name == recording.input else recording[name][0]
            activation = _plane(maps.float().cpu(), channel)
            single = _plane(signal, channel)
        live = signal[signal != 0]
        yield TracedNode(
            name, kinds.get(name, ""), tuple(signal.shape), channel, activation, single,
            _plane(signal.norm(dim=0)[None] if signal.ndim > 1 else signal.abs(), 0),
            norm=float(signal.norm()), reached=live.numel() / signal.numel(),
            negative=float((live < 0).float().mean()) if live.numel() else 0.0,
            mirror=_words(recording, passed, kinds),
            switches=_switches(recording, name, channel, signal),
        )  # fmt: skip


def _plane(maps: Tensor, channel: int | None) -> Map:
    """One channel of maps (channels, *size) as a picture (height, width).

    Of 1-D maps it is a row, of video the frame where it is strongest; units without positions are
    laid out in rows of a square.
    """
    if maps.ndim == 1:
        side = math.isqrt(len(maps) - 1) + 1
        return torch.nn.functional.pad(maps, (0, side * side - len(maps))).view(side, side).numpy()
    one = maps[channel or 0]
    while one.ndim > 2:
        one = one[int(one.abs().flatten(1).amax(1).argmax())]
    return (one if one.ndim == 2 else one[None]).numpy()


def _switches(
    recording: Recording, name: str, channel: int | None, signal: Tensor
) -> NDArray[np.uint8] | None:
    """Where the maxima of a pooling stood in the channel, and which of them pass a signal."""
    record = recording.switches.get(name)
    if record is None or channel is None:
        return None
    places = record.places[0, channel].flatten().long().cpu()
    marked = torch.zeros(math.prod(record.size[2:]), dtype=torch.uint8)
    marked[places] = 1
    marked[places[signal[channel].flatten() != 0]] = 2
    return _plane(marked.view(1, *record.size[2:]), 0).astype(np.uint8)


def _words(recording: Recording, passed: Sequence[str], kinds: Mapping[str, str]) -> str:
    """What is done to the signal at these nodes."""
    layers = {step.name: step.layer for step in recording.steps}
    if len(passed) == 1:
        return layers[passed[0]].mirror_in_words
    told = ", ".join(dict.fromkeys(kinds[name] for name in passed if name in kinds))
    return f"{len(passed)} nodes: {told}" if passed else ""


def _told(node: TracedNode) -> tuple[str, ...]:
    """The kind of a node, its size, and the channel that is shown of it."""
    channel = () if node.channel is None else (f"channel {node.channel}",)
    return node.kind, by(node.size), *channel


def _window(box: Box, size: Sequence[int]) -> tuple[float, float, float, float]:
    """Top, bottom, left and right of a box, as shares of height and width."""
    ends = [(a / n, b / n) for a, b, n in zip(box.start, box.stop, size, strict=True)]
    rows, columns = [(0.0, 1.0), *ends][-2:]
    return *rows, *columns
