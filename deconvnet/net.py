"""A model and a policy make a DeconvNet."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from deconvnet.graph.frontends import Graphs
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import hooks_see, refuse_backward_hooks, revoked
from deconvnet.graph.model_state import weights_of
from deconvnet.graph.modes import ordinarily
from deconvnet.projection import receptive_field
from deconvnet.projection.check.checked_graphs import Checked, named_or_none
from deconvnet.projection.forward import Recording, record
from deconvnet.projection.geometry import Geometries
from deconvnet.projection.inputs import (
    accepted,
    channels_of,
    check_asked,
    check_own,
    checked_unit,
    named_in,
)
from deconvnet.projection.plan import Route, check_way, route_of, travel
from deconvnet.projection.project import from_recording
from deconvnet.projection.result import Found, Projection, cropped, dense
from deconvnet.projection.seeds import check

from .arguments import listed
from .layers import Policies, Rectifier
from .layers import rectifier as rectifier_named
from .units import Unit


@dataclass(frozen=True)
class Layer:
    """What a layer looks like for images of one size.

    Args:
        channels: number of feature maps.
        size: size of a map; empty for layers without positions.
        field: size of the receptive field in pixels, at most the image's; the largest one where
            those of neighbouring units differ, as they do after up-sampling.
        stride: pixels a cell, from the field of one unit to the next; on average, and maybe a
            fraction, after up-sampling.
        kind: "Conv2d", "ReLU", "add".
    """

    channels: int
    size: tuple[int, ...]
    field: tuple[int, ...]
    stride: tuple[float, ...]
    kind: str


class DeconvNet:
    """The mirrored network of a trained ConvNet (Zeiler & Fergus 2014).

    The model is only read: after any call, also one that raised, it is what it was.

    Args:
        model: any module that takes images, (batch, channels, *size).
        rectifier: what activations do to the signal: "deconvnet" (Zeiler & Fergus 2014),
            "gradient" (Simonyan 2013), "guided" (Springenberg 2014), "identity", "rectgrad(98)"
            (Kim 2019), or an instance of a ``Rectifier`` of your own.
        elsewhere: what happens at activations the rectifier has no rule for: "derivative" or
            "rectify"; by default it is an error.
        normalization: local response normalisation carries the signal by its derivative
            ("exact") or passes it ("identity"); by default as the rectifier's paper did.
        unpooling: the value of a max pooling goes back to where its maximum stood ("switches"),
            to the "centre" of its window, or in equal parts to all of it ("uniform").
        input_size: (channels, *size) of one image, for ``layers`` and for models that only
            torch.export can read; by default that of the last images seen, else 224 x 224.
        inputs: {argument of forward: value} of a model that takes more than the images.
        check: hold the graph against the model, values and one gradient, when images of a size
            come for the first time, and again when parameters or hooks have changed.

    Raises:
        UntraceableError: the graph of the model cannot be read. Where torch.fx alone fails, this
            is found out when ``input_size`` or images are given.
        ValueError: no policy has this name.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
        >>> net = DeconvNet(model, rectifier="deconvnet")
        >>> net.project(torch.rand(2, 3, 16, 16), layer="2", channel=5).shape
        torch.Size([2, 3, 16, 16])
    """

    @ordinarily
    def __init__(
        self,
        model: nn.Module,
        rectifier: str | Rectifier = "deconvnet",
        *,
        elsewhere: str | None = None,
        normalization: str | None = None,
        unpooling: str = "switches",
        input_size: Sequence[int] | None = None,
        inputs: Mapping[str, Any] | None = None,
        check: bool = True,
    ) -> None:
        rule = rectifier_named(rectifier)
        self.policies = Policies(rule, elsewhere, normalization, unpooling=unpooling)
        self._graphs = Graphs(model, inputs)
        self._checked_graphs = Checked.if_asked(self._graphs, check)
        self._latest: Graph | None = None
        self._geometries = Geometries(self._graphs)
        self.model = self._graphs.model
        self._input_size = None if input_size is None else tuple(input_size)
        if self._input_size is not None:
            self._latest = self._graphs.of_size(self._input_size)

    @property
    def graph(self) -> Graph:
        """The nodes of the model; of one that torch.export reads, for the last images seen.

        Raises:
            UntraceableError: only torch.export can read the model, and no images were seen.
        """
        graph = self._latest or self._graphs.any_size
        if graph is None:
            raise self._graphs.unseen()
        return graph

    @ordinarily
    def record(
        self, images: Tensor, layer: str | nn.Module | Sequence[str | nn.Module] | None = None
    ) -> Recording:
        """Run images up to a layer and remember what the mirror needs.

        Args:
            images: (batch, channels, *size), preprocessed as the model wants them.
            layer: node name or module, or several; by default what the model returns.

        Raises:
            KeyError: no such layer.
            UnmirroredError: an activation on the way has no rule under the policy.
            ValueError: the images do not fit the model.
        """
        chosen = None if layer is None else listed(layer, str, nn.Module)
        images = self._checked(images)
        graph = self._graph_for(images, chosen or None)
        names = graph.named(chosen or None)
        if not names:
            raise ValueError(f"{type(self.model).__name__} returns no tensor: name a layer")
        recording = record(graph, images, names, policies=self.policies)
        return replace(recording, weights=weights_of(self.model))

    @ordinarily
    def project(
        self,
        images: Tensor | Recording,
        *,
        layer: str | nn.Module | None = None,
        channel: int | None = None,
        position: tuple[int, ...] | None = None,
        units: Unit | Sequence[Unit] | None = None,
        seed: str = "activation",
        crop: bool = False,
        way: str | None = None,
    ) -> Tensor | list[Projection]:
        """What a unit responds to: its signal, carried down to the pixels.

        Give a layer and a channel (and a position; by default the strongest one of the channel
        in each image), or a list of units. Units with a position are run on nothing but what
        they see, or share whole images, whichever takes fewer multiply-adds (see ``route``).
        Images without units are left out, so that a model must not count the images of a batch.

        Args:
            images: (batch, channels, *size), or a recording of them.
            layer: node name, as in ``layers``, or the module.
            channel: index of the feature map.
            position: (row, col) in the map.
            units: units of these images, one or several; of any layers.
            seed: "activation", "one" or "map": the recorded value at the unit, 1.0, or the whole
                feature map of the channel.
            crop: cut each projection at the unit's receptive field.
            way: "cone" or "shared", to take this way and no other; the result is the same. A
                recording has gone up already, and this says nothing about it.

        Returns:
            (batch, channels, *size), or (units, channels, *size): signed, on the scale of the
            model's input; or a list of Projection(pixels, box, unit, activation) with ``crop``.

        Raises:
            KeyError, IndexError: no such layer, channel, position or image.
            UnmirroredError: an activation on the way has no rule under the policy.
            ValueError: the images do not fit the model, or the arguments each other.
        """
        check_asked(layer, channel, position=position, units=units, seed=seed, crop=crop)
        check_way(way)
        if isinstance(images, Recording):
            check_own(images, self.policies, self.model)
        else:
            images = self._checked(images)
        units = units if units is None else listed(units, Unit)
        if units is None:
            assert layer is not None, "there is one where there are no units"
            assert channel is not None, "it comes with the layer"
            unit = Unit.at(self._graph_for(images, [layer]).find(layer), channel, position=position)
            count = images.images if isinstance(images, Recording) else len(images)
            units = [replace(unit, image=image) for image in range(count)]
        for _ in range(2):
            changes = revoked(self.model)
            found, geometry, like = self._found(images, units, seed=seed, way=way)
            cut = cropped(found, len(units), geometry) if crop else dense(found, len(units), like)
            if revoked(self.model) == changes:
                break  # else a hook has begun to change values, which the geometry does not know
        return cut

    @ordinarily
    def route(self, images: Tensor, units: Sequence[Unit], *, way: str | None = None) -> Route:
        """Which way ``project`` takes with these images and units, and what it costs.

        Args:
            images: (batch, channels, *size), preprocessed as the model wants them.
            units: of these images.
            way: as for ``project``.

        Returns:
            ``Route(way, multiply_adds, …)``: "cone", "shared" or "mixed"; and the multiply-adds
            of each way, of the one "taken", and of "full" passes for every unit.

        Raises:
            As ``project``.
        """
        images = self._checked(images)
        return self._routed(images, listed(units, Unit), seed="activation", way=way)[0]

    def _found(
        self, images: Tensor | Recording, units: Sequence[Unit], *, seed: str, way: str | None
    ) -> tuple[Iterator[Found], Recording, Tensor]:
        """What units respond to, a recording to read boxes off, and a tensor like the images."""
        if isinstance(images, Recording):
            named = [named_in(unit, self._graph_of(images)) for unit in units]
            like = images.empty.expand(images.sizes[images.input])
            return from_recording(images, named, seed=seed), images, like
        route, named, geometry = self._routed(images, units, seed=seed, way=way)
        found = travel(
            route, self._graph_of, images, named,
            geometry=geometry, seed=seed, policies=self.policies,
        )  # fmt: skip
        return found, geometry, images

    def _routed(
        self, images: Tensor, units: Sequence[Unit], *, seed: str, way: str | None
    ) -> tuple[Route, list[Unit], Recording]:
        """The route, the units by the names of nodes, and the recording it was chosen by."""
        graph = self._graph_for(images, [checked_unit(unit).layer for unit in units])
        named = [named_in(unit, graph) for unit in units]
        geometry = self._geometries.fit_for(images, sorted({unit.layer for unit in named}))
        for unit in named:
            check(unit, (len(images), *geometry.sizes[unit.layer][1:]))
        free = seed != "map" and self._graphs.any_size is not None and not hooks_see(graph)
        placed = named if free else [replace(u, row=None, col=None, depth=None) for u in named]
        route = route_of(geometry, graph, placed, policies=self.policies, like=images, way=way)
        return route, named, geometry

    @property
    def layers(self) -> Mapping[str, Layer]:
        """{node name: Layer} of every node that has feature maps, for the current input size."""
        return self._layers(self._input_size or (channels_of(self._graphs), 224, 224))

    def _layers(self, size: tuple[int, ...]) -> Mapping[str, Layer]:
        recording = self.geometry(size)
        names = [s.name for s in recording.steps if len(recording.sizes.get(s.name, ())) >= 2]
        found = {}
        for name, field in receptive_field.of_layers(recording, names).items():
            _, channels, *places = recording.sizes[name]
            kind = self.graph.nodes[name].kind
            found[name] = Layer(channels, tuple(places), field.size, field.stride, kind)
        return found

    @ordinarily
    def geometry(self, size: Sequence[int], layers: Sequence[str] | None = None) -> Recording:
        """A recording of one empty image: for sizes and fields.

        Args:
            size: (channels, *size) of the image.
            layers: how far up it goes; everywhere by default.
        """
        self._latest = self._graphs.of_size(size)
        return self._geometries.of(size, layers)

    def _checked(self, images: Tensor) -> Tensor:
        """The images as the model takes them; their size is the current one from now on."""
        images = accepted(images, self._graphs)
        self._input_size = tuple(images.shape[1:])
        return images

    def _graph_for(
        self, images: Tensor | Recording, layers: Sequence[str | nn.Module] | None
    ) -> Graph:
        """The graph for these images, which is the model up to these layers."""
        graph = self._graph_of(images)
        if not isinstance(images, Recording) and self._checked_graphs is not None:
            refuse_backward_hooks(graph.model, graph.upto(named_or_none(graph, layers) or ()))
            graph = self._latest = self._checked_graphs.of(images, layers)
        refuse_backward_hooks(graph.model, graph.upto(graph.named(layers)))
        return graph

    def _graph_of(self, images: Tensor | Recording) -> Graph:
        """The graph for these images, or the one they were recorded with."""
        if isinstance(images, Recording):
            held = self._graphs.held(images.sizes[images.input])
            assert held is not None, "this DeconvNet has made the recording"
            return held
        self._latest = self._graphs.of(images)
        return self._latest
