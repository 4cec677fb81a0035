"""What studies read of a net: values at layers, class scores, and the last maps."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

from deconvnet.arguments import check_each, counted, integer
from deconvnet.data.given_images import GivenImages
from deconvnet.graph.frontends import blank, taken
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.fingerprint import check_mined, of_model
from deconvnet.mining.stored_rules import stored_name
from deconvnet.net import DeconvNet
from deconvnet.store.picture_reading import stored_exemplars
from deconvnet.store.store import Store
from deconvnet.units import Exemplar

AT_ONCE = 32  # images in one forward pass
_SOFTMAX = ("softmax", "log_softmax", "softmin")


def bar(things: Iterable[Any], does: str, *, total: int, progress: bool) -> Iterator[Any]:
    """The same things, with a progress bar on standard error after one second of work."""
    slow = 0.1 if sys.stderr.isatty() else 10.0  # in a log file one line every ten seconds
    yield from tqdm(
        things, does, total=total, delay=1, leave=False, disable=not progress, mininterval=slow,
        dynamic_ncols=True,
    )  # fmt: skip


def pixels_of(net: DeconvNet, given: GivenImages) -> Tensor:
    """Images as the net takes them: (batch, channels, *size) on its device, in its precision."""
    dtype, device = taken(net.model, given.tensor)
    return given.tensor.detach().to(device=device, dtype=dtype)


def one_picture(net: DeconvNet, given: GivenImages) -> Tensor:
    """One image as the net takes it, (1, channels, height, width).

    Raises:
        ValueError: several.
    """
    if len(given) != 1:
        raise ValueError(f"{counted(len(given), 'image')} given, expected one")
    return pixels_of(net, given)


def values(
    net: DeconvNet,
    images: Tensor,
    layers: Sequence[str],
    *,
    does: str = "forward passes",
    progress: bool = True,
) -> dict[str, Tensor]:
    """The values of layers for many images, {layer: (images, channels, *size)}.

    They run ``AT_ONCE`` at a time. Whatever the rule of the net, none is refused.
    """
    plain, kept = net.with_rectifier("gradient"), []
    parts = torch.split(images, AT_ONCE)
    for some in bar(parts, does, total=len(parts), progress=progress):
        kept.append(plain.record(some, list(layers)).activations)
    names = list(dict.fromkeys(kept[0]))
    return {name: torch.cat([one[name] for one in kept]) for name in names}


@dataclass(frozen=True)
class Classes:
    """The classes of a net.

    Args:
        layer: the node whose value is their scores, before any softmax.
        count: how many there are.
        names: of the classes; empty if they are not known.
    """

    layer: str
    count: int
    names: Sequence[str] = ()

    def checked(self, target: Any, name: str = "target") -> int:
        """A class by its index or its name.

        Raises:
            IndexError, KeyError: there is none of this index or name.
        """
        if isinstance(target, str):
            if target not in self.names:
                near = get_close_matches(target, self.names, 3)
                nearest = f"; the nearest are {', '.join(near)}" if near else ""
                raise KeyError(
                    f"{name}={target!r} was given, which is none of the class names{nearest}"
                )
            return list(self.names).index(target)
        number = integer(name, target)
        if not 0 <= number < self.count:
            raise IndexError(
                f"{name}={number} was given; the classes of {self.layer} are 0 to {self.count - 1}"
            )
        return number

    def named(self, target: int) -> str:
        """The last part of a class's name, else its number."""
        if not self.names:
            return f"class {target}"
        return str(self.names[target]).rpartition("/")[2].replace("_", " ")


def classes_of(
    net: DeconvNet, images: Tensor, names: Sequence[str] = (), *, needed: bool = True
) -> Classes | None:
    """The classes that a net tells apart; None for one that returns something else.

    Args:
        net: returns (batch, classes), scores or their softmax.
        images: (batch, channels, *size), for the size.
        names: of the classes.
        needed: raise instead of None.

    Raises:
        ValueError: the net returns no scores, or there are not as many names.
    """
    (name, value), *others = net.record(images[:1]).activations.items()
    if value.ndim != 2 or others:
        if not needed:
            return None
        raise ValueError(
            f"{type(net.model).__name__} returns {name} of shape {tuple(value.shape[1:])} for an "
            "image, expected one score a class; give a net with its classifier"
        )
    if names:
        check_each("names of classes", names, value.shape[1])
    node = net.graph.nodes[name]
    if node.kind.lower().replace("logsoft", "log_soft") in _SOFTMAX:
        name = node.sources[0]
    return Classes(name, value.shape[1], names)


def needed_classes(net: DeconvNet, images: Tensor, names: Sequence[str] = ()) -> Classes:
    """``classes_of``, of a net that must have some."""
    known = classes_of(net, images, names)
    assert known is not None, "without classes it raises"
    return known


def probabilities(scores: Tensor) -> Tensor:
    """The softmax of scores (images, classes), in float64."""
    return scores.double().softmax(1)


def layer_of(net: DeconvNet, images: Tensor, layer: str | nn.Module | None) -> str:
    """The node of a layer with maps, by name or module; by default the last rectifier with maps.

    Raises:
        KeyError: there is no such layer.
        ValueError: it has no maps of several positions; or, by default, none has.
    """
    geometry = net.geometry(tuple(images.shape[1:]))
    sizes = {s.name: geometry.sizes[s.name] for s in geometry.steps if s.name in geometry.sizes}
    maps = {name for name, size in sizes.items() if len(size) > 2 and max(size[2:]) > 1}
    if layer is None:
        ruled = [s.name for s in geometry.steps if s.layer.activation_name and s.name in maps]
        last = [*(name for name in sizes if name in maps), *ruled]
        if not last:
            raise ValueError(f"no layer of {type(net.model).__name__} has maps; name another net")
        return last[-1]
    name = net.graph.find(layer)
    if name not in maps:
        size = "one position" if len(sizes.get(name, ())) > 2 else "no positions"
        raise ValueError(f"{name} has {size}; expected a layer with maps, as net.layers lists them")
    return name


def channel_of(layer: str, channel: Any, channels: int) -> int:
    """The index of a channel.

    Raises:
        IndexError: there is none.
    """
    number = integer("channel", channel)
    if not 0 <= number < channels:
        raise IndexError(f"{layer} has no channel {number}; its channels are 0 to {channels - 1}")
    return number


def grid(start: int, stop: int, step: int) -> list[int]:
    """From start in steps, and stop itself at last: the last step may be shorter."""
    return [*range(start, stop, step), stop]


def stored(
    store: Store | None,
    layer: str,
    channel: int,
    *,
    net: DeconvNet,
    data: Any = None,
    preprocessing: Any = None,
) -> Sequence[Exemplar]:
    """The exemplars of a channel in a store; none without a store.

    Raises:
        KeyError: the store has no such layer; or no projections, and no data are given.
        ValueError: the net or the data are not those that were mined.
    """
    if store is None:
        return []
    _, *size = map(int, store.attributes["batch_shape"])  # type: ignore[call-overload]
    model = of_model(net.graph, blank(net.model, tuple(size)))
    check_mined(store.attributes, "model", model, advice="the net it was mined with")
    if data is None:
        rule = stored_name(net.policies)
        return stored_exemplars(store, layer, [channel], rectifier=rule)[channel]
    return project_exemplars(
        store, layer, [channel], net=net, dataset=data, preprocessing=preprocessing
    )[channel]
