"""Other ways to find the strongest images: a plain script, and zennit-crp where it is installed."""

from __future__ import annotations

import contextlib
import copy
import io
import tempfile
from collections.abc import Mapping, Sequence
from functools import partial
from importlib.util import find_spec

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.benchmark import timer
from torch.utils.data import TensorDataset

from deconvnet import Store

CRP = "zennit-crp"
CLOSE = 1e-4  # relative, float32: mining runs channels last, which adds up in another order


class Plain:
    """A first script for the same job: a forward hook on each layer, maxima, ``topk`` of a table.

    It keeps ``k`` images a channel, and does not handle NaN, ties, unreadable images or files.
    """

    def __init__(self, model: nn.Module, layers: Sequence[str], k: int) -> None:
        self.model, self.layers, self.k, self.seen = model, layers, k, 0
        self.tables: dict[str, list[Tensor]] = {}  # activation, image, place: (k, channels) each

    @torch.no_grad()
    def take(self, images: Tensor) -> None:
        """Run a batch; images are numbered as they come."""
        with contextlib.ExitStack() as hooks:
            for layer in self.layers:
                module = self.model.get_submodule(layer)
                hooks.callback(module.register_forward_hook(partial(self._keep, layer)).remove)
            self.model(images)
        self.seen += len(images)

    def _keep(self, layer: str, module: nn.Module, given: object, output: Tensor) -> None:
        value, place = output.reshape(*output.shape[:2], -1).max(2)
        image = torch.arange(self.seen, self.seen + len(value), device=value.device)
        entries = [value, image[:, None].expand_as(value), place]
        if layer in self.tables:
            entries = [torch.cat(both) for both in zip(self.tables[layer], entries, strict=True)]
        best = entries[0].topk(min(self.k, len(entries[0])), dim=0).indices
        self.tables[layer] = [entry.gather(0, best) for entry in entries]


def same_values(store: Store, values: Mapping[str, Tensor], peer: str) -> None:
    """Compare our activations with a peer's (images, channels), which may keep more or fewer.

    Raises:
        ValueError: they differ.
    """
    for layer, value in values.items():
        ours = torch.from_numpy(store[layer].activation[:]).T
        rows = min(len(ours), len(value))
        value = value[:rows].cpu()
        if not torch.allclose(ours[:rows], value, rtol=CLOSE, atol=CLOSE * float(value.max())):
            raise ValueError(
                f"{layer}: the greatest activations by {peer} differ from ours; find out which are "
                "wrong before you time them"
            )


def installed() -> set[str]:
    """The optional peers that are installed."""
    return {CRP} if find_spec("crp") else set()


def crp(
    model: nn.Module, images: Tensor, layers: Sequence[str], *, batch: int
) -> tuple[float, dict[str, Tensor]]:
    """Time zennit-crp (Achtibat 2023) on the strongest images of these layers.

    It also ranks by relevance and so carries each batch back, which cannot be left out.

    Returns:
        Seconds, and {layer: (images, channels) the greatest activations, descending}.
    """
    from crp.attribution import CondAttribution
    from crp.concepts import ChannelConcept
    from crp.visualization import FeatureVisualization

    # it marks the images that it is given, and wants a class for each
    dataset = TensorDataset(images.clone(), torch.zeros(len(images), dtype=torch.int64))
    labelled = [(image, int(label)) for image, label in dataset]
    with (
        tempfile.TemporaryDirectory() as folder,
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(io.StringIO()),
    ):
        peer = FeatureVisualization(
            CondAttribution(copy.deepcopy(model), no_param_grad=True),
            labelled,
            {layer: ChannelConcept() for layer in layers},
            max_target="max",
            abs_norm=False,
            path=folder,
        )
        started = timer()
        peer.run_distributed(None, 0, len(images), batch)
        seconds = timer() - started
        files = {layer: peer.ActMax.PATH / f"{layer}_0_{len(images)}_rel.npy" for layer in layers}
        return seconds, {layer: torch.from_numpy(np.load(file)) for layer, file in files.items()}
