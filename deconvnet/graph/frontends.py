"""The graph of a model for images of a size: by torch.fx, else by torch.export."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor, nn

from deconvnet.layers import Mirrors

from .errors import NotFollowed, Stopped, UntraceableError, unreadable
from .export import export
from .fx_tracing import unwrapped
from .graph import Graph, trace
from .model_state import hooks_of, modules_of


class Graphs:
    """Provides the graph of a model that holds for some images.

    torch.fx reads most models, once and for images of any size. What it cannot follow, mostly
    python that looks at sizes, torch.export reads for one size at a time, when it is asked for.

    Args:
        model: any module that takes images, in a wrapper or not.
        inputs: {argument: value} of the arguments of forward beside the images.
        mirrors: {module class or function: mirror} of a user's own, beside those in the model's
            attribute ``mirrors``.

    Attributes:
        model: without its wrapper.
        any_size: the graph that torch.fx has read; None where it cannot.

    Raises:
        TypeError: model, inputs or a line of the mirrors are something else.
        UntraceableError: the model is none that can be read.
        ValueError: a line of the mirrors would be ignored.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any] | None = None,
        mirrors: Mapping[Any, Any] | None = None,
    ) -> None:
        if not isinstance(model, nn.Module):
            raise TypeError(f"the model was {type(model).__name__}; give a torch.nn.Module")
        if not isinstance(inputs, Mapping | None):
            raise TypeError(
                f"inputs= was {type(inputs).__name__}; give a dictionary from arguments of forward "
                "to their values, such as {'mask': mask}"
            )
        self.model = unwrapped(model)
        self.mirrors = Mirrors({**_stated(self.model), **Mirrors(mirrors).named})
        self.inputs = dict(inputs or {})
        self.mirrors.refuse_unmatched(self.model)
        self._begin()

    @property
    def axes(self) -> int:
        """Number of spatial axes of images, by the first operation that says; 2 if none does."""
        graph = self.any_size
        kinds = [n.kind for n in graph] if graph else [type(m).__name__ for m in self._modules]
        return next((axes for kind in kinds for axes in (1, 2, 3) if kind.endswith(f"{axes}d")), 2)

    @property
    def channels(self) -> int:
        """How many channels the model's first layer takes; 3 if none says."""
        modules = (self.model, *self._modules)  # the model may be one convolution
        known = (getattr(module, "in_channels", None) for module in modules)
        return next((n for n in known if isinstance(n, int)), 3)

    @property
    def _modules(self) -> list[nn.Module]:
        """The modules in the order in which they run, or were made if that is not known yet."""
        if self.any_size is None:
            return list(self.model.modules())
        return [node.module for node in self.any_size if node.module is not None]

    def _begin(self) -> None:
        """Read the model by torch.fx, as it is now."""
        self._hooks = [hooks_of(module) for module in modules_of(self.model)]
        self._exported: dict[tuple[int | None, ...], Graph] = {}
        self._refusal: NotFollowed | None = None
        self.any_size: Graph | None = None
        try:
            self.any_size = trace(self.model, self.inputs, self.mirrors)
        except NotFollowed as refusal:
            self._refusal = refusal

    def of(self, images: Tensor) -> Graph:
        """The graph for images like these, on the model's device and in its precision.

        Raises:
            UntraceableError: neither way reads the model; the message says why.
        """
        if self._hooks != [hooks_of(module) for module in modules_of(self.model)]:
            self._begin()  # hooks of containers are nodes
        graph = self.held(images.shape)
        if graph is None:
            graph = self._read(images)
            if graph.stopped is not None:
                return graph
            self._exported[graph.batch, *images.shape[1:]] = graph
        return graph

    def again(self, images: Tensor) -> Graph | None:
        """What torch.fx reads now; None if it reads nothing, or nothing else than before."""
        try:
            graph = trace(self.model, self.inputs, self.mirrors)
        except NotFollowed:
            return None
        same = self.any_size is not None and graph.signature == self.any_size.signature
        return None if same else graph

    def exported(self, images: Tensor) -> Graph | None:
        """What torch.export reads now for images like these; None if nothing else than before.

        Raises:
            NotFollowed: it cannot.
        """
        graph = export(self.model, images, self.inputs, self.mirrors)
        before = None if self.any_size is not None else self.held(images.shape)
        return None if before is not None and graph.signature == before.signature else graph

    def adopted(self, graph: Graph, images: Tensor) -> Graph:
        """Hand out this graph from now on."""
        if graph.reader == "torch.fx":
            self.any_size = graph
            return graph
        if self.any_size is not None:
            self.any_size = None
            self._refusal = NotFollowed(self.model, "what it reads is not the model")
        self._exported[graph.batch, *images.shape[1:]] = graph
        return graph

    def held(self, shape: Sequence[int]) -> Graph | None:
        """The graph that is already there for images of this (batch, channels, *size)."""
        batch, *size = shape
        below = self._refusal.below if self._refusal is not None else None
        if below is not None and below.stopped is not None:
            return below  # type: ignore[no-any-return]
        free = None if batch == 1 else self._exported.get((None, *size))
        return self.any_size or self._exported.get((batch, *size)) or free

    def of_size(self, size: Sequence[int]) -> Graph:
        """The graph for one image of this (channels, *size)."""
        return self.of(blank(self.model, size))

    def unseen(self) -> UntraceableError:
        """The error for a graph that is needed before any images were seen."""
        assert self._refusal is not None, "without a graph there is a reason"
        return UntraceableError(
            f"{type(self.model).__name__} cannot be traced{self._refusal.where} by torch.fx: "
            f"{self._refusal.reason}; torch.export reads it from images: give "
            "input_size=(channels, height, width), or record images first"
        )

    def _read(self, images: Tensor) -> Graph:
        assert self._refusal is not None, "without a graph there is a reason"
        try:
            return export(self.model, images, self.inputs, self.mirrors)
        except NotFollowed as refusal:
            both, graph = unreadable(self._refusal, refusal), self._refusal.below
            if graph is None:
                raise both from refusal
            graph.stopped = Stopped(both, self._refusal.followed)
            return graph  # type: ignore[no-any-return]


def _stated(model: nn.Module) -> Mapping[Any, Any]:
    """The mirrors that a model brings along: {module class or function: mirror}, and no more."""
    stated = getattr(model, "mirrors", None)
    own = isinstance(stated, Mapping) and all(isinstance(k, type | FunctionType) for k in stated)
    return stated if isinstance(stated, Mapping) and own else {}


def blank(model: nn.Module, size: Sequence[int], *, like: Tensor | None = None) -> Tensor:
    """An empty image of this (channels, *size) as a model takes it, (1, channels, *size).

    ``like`` says the precision where parameters leave it open (see ``taken``); by default float32.
    """
    dtype, device = taken(model, torch.zeros((), dtype=torch.float32) if like is None else like)
    return torch.zeros((1, *size), dtype=dtype, device=device)


def taken(model: nn.Module, images: Tensor) -> tuple[torch.dtype, torch.device]:
    """The precision and the device in which a model takes images.

    The precision is the images' own if any parameter has it, else that of most parameters. Those
    that are integers, of a quantised part, say nothing.
    """
    device = next((parameter.device for parameter in model.parameters()), images.device)
    counts = Counter[torch.dtype]()
    for parameter in model.parameters():
        if parameter.dtype == images.dtype and images.is_floating_point():
            return images.dtype, device
        if parameter.is_floating_point():
            counts[parameter.dtype] += 1
    return (counts.most_common(1)[0][0] if counts else images.dtype), device
