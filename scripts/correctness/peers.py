"""The columns of the correctness table: how each toolkit is asked for a class score's map."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from deconvnet import DeconvNet
from scripts.report import versions

Ask = Callable[[nn.Module, Tensor, int, str, str], Tensor]


@dataclass(frozen=True)
class Peer:
    """A toolkit.

    It is asked with a model, an image (1, channels, *size), a class, "deconvnet" or "guided", and
    the module that gives the scores (empty for what the model returns), and gives a map like the
    image.
    """

    name: str  # of its column
    distribution: str  # what pip calls it
    ask: Ask
    methods: tuple[str, ...] = ("deconvnet", "guided")  # those that it offers

    @property
    def version(self) -> str:
        """The installed version; empty if it is not installed."""
        return versions(self.distribution)[self.distribution]


def ours(model: nn.Module, image: Tensor, target: int, method: str, scores: str) -> Tensor:
    """This toolkit."""
    net = DeconvNet(model, method)
    (returned,) = net.graph.returned
    maps = net.project(image, layer=scores or returned, channel=target, seed="one")
    assert isinstance(maps, Tensor)
    return maps


def captum(model: nn.Module, image: Tensor, target: int, method: str, scores: str) -> Tensor:
    """The toolkit captum (Kokhlikyan 2020)."""
    from captum.attr import Deconvolution, GuidedBackprop

    make = {"deconvnet": Deconvolution, "guided": GuidedBackprop}[method]
    return make(model).attribute(image, target=target)


def zennit(model: nn.Module, image: Tensor, target: int, method: str, scores: str) -> Tensor:
    """The toolkit zennit (Anders 2021)."""
    from zennit import composites
    from zennit.attribution import Gradient

    rules = {"deconvnet": composites.DeconvNet, "guided": composites.GuidedBackprop}[method]()

    def seed(scores: Tensor) -> Tensor:
        return torch.nn.functional.one_hot(torch.tensor([target]), scores.shape[1]).to(scores)

    with Gradient(model=model, composite=rules) as attributor:
        _, maps = attributor(image, seed)
    return maps


def grad_cam(model: nn.Module, image: Tensor, target: int, method: str, scores: str) -> Tensor:
    """The toolkit pytorch-grad-cam (Gildenblat 2021); its maps are (rows, columns, channels)."""
    from pytorch_grad_cam import GuidedBackpropReLUModel

    maps = GuidedBackpropReLUModel(model, device="cpu")(image, target_category=target)
    return torch.from_numpy(maps).permute(2, 0, 1)[None]


PEERS = [
    Peer("deconvnet", "deconvnet", ours),
    Peer("captum", "captum", captum),
    Peer("zennit", "zennit", zennit),
    Peer("pytorch-grad-cam", "grad-cam", grad_cam, ("guided",)),
]
