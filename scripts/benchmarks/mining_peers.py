"""Other ways to find the strongest images: a plain script, and zennit-crp where it is installed."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
import time
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import Dataset

from deconvnet import Store

CLOSE = 1e-4  # relative, float32: ours runs with channels last, which adds up in another order
TIED = 1e-3  # share of entries whose place another order may change


class Plain:
    """What one writes first: a forward hook on each layer, maxima, and ``topk`` of a table.

    It knows nothing of NaN, ties, unreadable images, counts or files.

    Args:
        model: the network.
        layers: names of modules.
        k: images to keep for each channel.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], k: int) -> None:
        self.model, self.k, self.first = model, k, 0
        self.value: dict[str, Tensor] = {}
        self.image: dict[str, Tensor] = {}
        self.place: dict[str, Tensor] = {}
        self.on = False
        self.handles = [
            model.get_submodule(layer).register_forward_hook(self._keeping(layer))
            for layer in layers
        ]

    @torch.no_grad()
    def take(self, images: Tensor) -> None:
        """Run a batch; images are numbered as they come."""
        self.on = True
        self.model(images)
        self.on = False
        self.first += len(images)

    def remove(self) -> None:
        """Leave the model as it was."""
        for handle in self.handles:
            handle.remove()

    def _keeping(self, layer: str) -> object:
        def keep(_: nn.Module, __: object, output: Tensor) -> None:
            if self.on:
                self._keep(layer, output.flatten(2) if output.ndim > 2 else output[..., None])

        return keep

    def _keep(self, layer: str, maps: Tensor) -> None:
        value, place = maps.max(2)
        image = torch.arange(self.first, self.first + len(maps), device=maps.device)
        image = image[:, None].expand_as(value)
        if layer in self.value:
            value = torch.cat([self.value[layer], value])
            image = torch.cat([self.image[layer], image])
            place = torch.cat([self.place[layer], place])
        self.value[layer], chosen = value.topk(min(self.k, len(value)), dim=0)
        self.image[layer], self.place[layer] = image.gather(0, chosen), place.gather(0, chosen)


def same_tables(store: Store, plain: Plain) -> None:
    """Hold our table against the plain script's, whose order among equals is left open.

    Raises:
        ValueError: an activation differs, or many images or places where no two are equal.
    """
    for layer in plain.value:
        table = store[layer]
        value, image, place = (t[layer].cpu() for t in (plain.value, plain.image, plain.place))
        width = table.size[1] if table.size else 0
        places = table.row[:] * width + (table.col[:] if width else 0)
        mine = (torch.from_numpy(t[:]).T for t in (table.activation, table.image, places))
        found, images, places = (t[: len(value)] for t in mine)  # k may be more than were seen
        same = torch.isclose(found, value, rtol=CLOSE, atol=CLOSE * float(value.max()))
        there = ~_clear(value) | ((images == image) & (places == place))
        if not same.all() or (~there).sum() > TIED * there.numel():
            same &= there
            channel = int((~same).any(0).nonzero()[0])
            raise ValueError(
                f"{layer}: the strongest images of channel {channel} differ, "
                f"{found[:, channel].tolist()} of images {images[:, channel].tolist()} here and "
                f"{value[:, channel].tolist()} of {image[:, channel].tolist()} by the plain "
                "script; find out which is wrong before you time them"
            )


def _clear(value: Tensor) -> Tensor:
    """Entries of a sorted table (k, channels) whose image and place nothing leaves open.

    That is neither those beside an equal one, nor the last, whose equal may have been left out,
    nor those of dead maps, whose places are all alike.
    """
    clear = value > 0
    clear[-1] = False
    equal = torch.isclose(value[1:], value[:-1], rtol=CLOSE)
    clear[1:] &= ~equal
    clear[:-1] &= ~equal
    return clear


class Labelled(Dataset[tuple[Tensor, int]]):
    """Images with a class each, which zennit-crp wants."""

    def __init__(self, images: Tensor) -> None:
        self.images = images

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        """An image of its own, since zennit-crp marks it, and its class."""
        return self.images[index].clone(), 0


def crp_version() -> str:
    """The installed version of zennit-crp; empty if it is not installed."""
    try:
        return version("zennit-crp")
    except PackageNotFoundError:
        return ""


def crp(
    model: nn.Module, dataset: Labelled, layers: Sequence[str], *, batch: int
) -> tuple[float, dict[str, Tensor]]:
    """How long zennit-crp (Achtibat 2023) takes to find the strongest images of these layers.

    It ranks by relevance as well and so carries each batch back, which cannot be left out.

    Returns:
        Seconds, and {layer: (images, channels) the greatest activations, descending}.
    """
    from crp.attribution import CondAttribution
    from crp.concepts import ChannelConcept
    from crp.visualization import FeatureVisualization

    asked = CondAttribution(copy.deepcopy(model), no_param_grad=True)
    concepts = {layer: ChannelConcept() for layer in layers}
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        found = FeatureVisualization(
            asked, dataset, concepts, max_target="max", abs_norm=False, path=folder
        )
        begin = time.perf_counter()
        found.run_distributed(None, 0, len(dataset), batch)
        seconds = time.perf_counter() - begin
        files = {layer: found.ActMax.PATH / f"{layer}_0_{len(dataset)}_rel.npy" for layer in layers}
        return seconds, {layer: torch.from_numpy(np.load(file)) for layer, file in files.items()}


def same_values(store: Store, values: Mapping[str, Tensor]) -> None:
    """Hold the activations of our table against a peer's, which may keep more or fewer.

    Raises:
        ValueError: they differ.
    """
    for layer, value in values.items():
        found = torch.from_numpy(store[layer].activation[:]).T
        rows = min(len(found), len(value))
        if not torch.isclose(found[:rows], value[:rows], rtol=CLOSE, atol=0).all():
            raise ValueError(
                f"{layer}: the greatest activations are other ones by zennit-crp than here; find "
                "out which are wrong before you time them"
            )
