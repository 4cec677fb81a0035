"""DeconvNet: a model and the rule by which its activations pass signals backward."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor, nn

from deconvnet.data.resolve import known_preprocessing
from deconvnet.graph.errors import UntraceableError
from deconvnet.graph.graph import Graph
from deconvnet.graph.model_state import weights_of
from deconvnet.graph.modes import plain
from deconvnet.graph.observed_hooks import hooks_in, revoked
from deconvnet.projection import receptive_field
from deconvnet.projection.forward import record
from deconvnet.projection.geometry import Geometry
from deconvnet.projection.inputs import accepted, axes_of, channels_of, resolve, size_of
from deconvnet.projection.plan import Plan, plan_of
from deconvnet.projection.project import from_images, from_recording
from deconvnet.projection.readings import Readings
from deconvnet.projection.recording import Recording
from deconvnet.projection.result import Projection, cropped, dense

from .arguments import listed
from .layers import Policies, Rectifier
from .layers import rectifier as named_rule
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
            (Kim 2019), or an instance of a ``Rectifier`` of your own; or ``Policies``, which say
            this and the next three.
        fallback: what happens at activations the rectifier has no rule for: "derivative" or
            "rectify"; by default it is an error.
        normalization: local response normalisation carries the signal by its derivative
            ("exact") or passes it ("identity"); by default as the rectifier's paper did.
        unpooling: the value of a max pooling goes back to where its maximum stood ("switches"),
            to the "centre" of its window, or in equal parts to all of it ("uniform").
        input_size: (channels, *size) of one image, for ``layers`` and for models that only
            torch.export can read; by default that of ``model.preprocessing``, else 224 x 224.
        inputs: {argument of forward: value} of a model that takes more than the images.
        mirrors: {module class or function: mirror} for operations of your own, each of which
            becomes one node: see ``layers/README.md``. A model may bring them along in an
            attribute ``mirrors``, which ``mine`` and the command line read as well.
        check: compare the graph with the model, values and one gradient, when images of a size
            come for the first time, and again when parameters or hooks have changed.

    Raises:
        UntraceableError: the graph of the model cannot be read. Where torch.fx alone fails, this
            is raised as soon as ``input_size`` or images are given.
        TypeError: an entry of ``mirrors`` is not a mirror.
        ValueError: no policy has this name, or an entry of ``mirrors`` would be ignored.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(3, 8, 3), nn.ReLU(), nn.MaxPool2d(2))
        >>> net = DeconvNet(model, rectifier="deconvnet")
        >>> net.project(torch.rand(2, 3, 16, 16), layer="2", channel=5).shape
        torch.Size([2, 3, 16, 16])
    """

    @plain()
    def __init__(
        self,
        model: nn.Module,
        rectifier: str | Rectifier | Policies = "deconvnet",
        *,
        fallback: str | None = None,
        normalization: str | None = None,
        unpooling: str = "switches",
        input_size: Sequence[int] | None = None,
        inputs: Mapping[str, Any] | None = None,
        mirrors: Mapping[Any, Any] | None = None,
        check: bool = True,
    ) -> None:
        self.policies = Policies.of(
            rectifier, fallback, normalization=normalization, unpooling=unpooling
        )
        self._input_size = None if input_size is None else size_of(input_size)
        self._readings = Readings(model, inputs, mirrors, size=self._input_size, check=check)
        self.model = self._readings.model

    def with_rectifier(self, rectifier: str | Rectifier) -> DeconvNet:
        """The same model under another rule; its graphs, their check and its geometries are shared.

        So are recordings, if the rule is the same: the same instance, or the name of the rule that
        is there. Fallback, normalization and unpooling stay as they are.

        Args:
            rectifier: a name or an instance, as for ``DeconvNet``.

        Raises:
            ValueError: no policy has this name.
        """
        other, own = copy.copy(self), self.policies.rectifier
        rule = named_rule(rectifier)
        named = isinstance(rectifier, str) and (type(rule), str(rule)) == (type(own), str(own))
        if (
            rule is not own and not named
        ):  # two instances may differ in what their text does not say
            other.policies = replace(self.policies, rectifier=rule)
        return other

    @property
    def graph(self) -> Graph:
        """The nodes of the model; of one that torch.export reads, for the latest images.

        Before any images it is the graph of the first size whose layers were asked for.

        Raises:
            UntraceableError: only torch.export can read the model, and no size is known.
        """
        return self._readings.graph

    @plain()
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
        images = accepted(images, self._readings.graphs)
        graph, names = self._readings.named(images, chosen or None)
        if not names:
            raise ValueError(f"{type(self.model).__name__} returns no tensor: name a layer")
        recording = record(graph, images, names, policies=self.policies)
        return replace(recording, weights=weights_of(self.model), hooks=hooks_in(self.model))

    @plain()
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
        strategy: str | None = None,
    ) -> Tensor | list[Projection]:
        """Project units to the pixels: what of the images each of them responds to.

        Give a layer and a channel (and a position; by default the strongest one of the channel
        in each image), or a list of units. Units with a position are run on nothing but what
        they see, or share whole images, whichever takes fewer multiply-adds (see ``plan``).
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
            strategy: "cone" or "shared", to use this one and no other (see ``plan``); the result
                is the same. Images that were recorded have run already: it is ignored.

        Returns:
            (batch, channels, *size), or (units, channels, *size): signed, on the scale of the
            model's input; or a list of Projection(pixels, box, unit, activation) with ``crop``.

        Raises:
            KeyError, IndexError: no such layer, channel, position or image.
            UnmirroredError: an activation on the way has no rule under the policy.
            ValueError: the images do not fit the model, or the arguments each other.
        """
        for _ in range(2):
            changes = revoked(self.model)
            request = resolve(
                images, layer, channel, position=position, units=units, seed=seed, crop=crop,
                strategy=strategy, readings=self._readings, policies=self.policies,
            )  # fmt: skip
            if request.recording is None:
                plan, graphs = plan_of(request, self.policies), self._readings.graphs
                results = from_images(plan, request, graphs=graphs, policies=self.policies)
            else:
                results = from_recording(request.recording, request.units, seed=seed)
            gathered = (
                cropped(results, len(request.units), request.geometry)
                if crop
                else dense(results, len(request.units), request.images)
            )
            if revoked(self.model) == changes:
                break  # else a hook has begun to change values, which the geometry does not know
        return gathered

    @plain()
    def plan(
        self, images: Tensor, units: Unit | Sequence[Unit], *, strategy: str | None = None
    ) -> Plan:
        """How ``project`` treats these images and units, and what it costs; nothing is projected.

        Args:
            images: (batch, channels, *size), preprocessed as the model wants them.
            units: of these images, one or several.
            strategy: as for ``project``.

        Returns:
            ``Plan(strategy, multiply_adds, …)``: "cone", "shared" or "mixed"; and the
            multiply-adds of each strategy, of what is "taken", and of "full" passes for every unit.

        Raises:
            As ``project``.
        """
        request = resolve(
            images, units=units, strategy=strategy, readings=self._readings, policies=self.policies
        )
        return plan_of(request, self.policies)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """{node name: Layer} of every node that has feature maps, for images of one size.

        The size is ``input_size``, else that of ``model.preprocessing``, else 224 x 224 (with as
        many channels as the model's first layer takes); no call changes it.

        Raises:
            ValueError: the model takes no images of 224 x 224, and no other size was given.
        """
        size = self._input_size or self._usual_size()
        try:
            return self.layers_at(size)
        except ValueError as error:
            if self._input_size is not None or isinstance(error, UntraceableError):
                raise
            raise ValueError(
                f"no size of images was given, and the model takes none of "
                f"{' x '.join(map(str, size))}; give DeconvNet(model, input_size=(channels, "
                f"*size)), or call net.layers_at((channels, *size)): {error}"
            ) from error

    def _usual_size(self) -> tuple[int, ...]:
        """(channels, *size): as ``model.preprocessing`` makes it, else 224 along each axis."""
        graphs = self._readings.graphs
        known = known_preprocessing(model=graphs.model)
        size = [224] * min(2, axes_of(graphs)) if known is None else known.size
        return (channels_of(graphs), *size)

    @plain()
    def layers_at(self, size: Sequence[int]) -> Mapping[str, Layer]:
        """``layers`` for images of another size.

        Args:
            size: (channels, *size) of an image.

        Raises:
            UntraceableError: the graph of the model cannot be read for it.
            ValueError: images of this size do not fit the model.
        """
        axes, graphs = axes_of(self._readings.graphs), self._readings.graphs
        size = size_of(size)
        if len(size) <= axes:
            raise ValueError(f"the size was {size}; expected (channels, *size), of {axes} axes")
        geometry, nodes = self.geometry(size), graphs.of_size(size).nodes
        names = [s.name for s in geometry.steps if len(geometry.sizes.get(s.name, ())) >= 2]
        layers = {}
        for name, field in receptive_field.of_layers(geometry, names).items():
            _, channels, *places = geometry.sizes[name]
            kind = nodes[name].kind
            layers[name] = Layer(channels, tuple(places), field.size, field.stride, kind)
        return layers

    @plain()
    def geometry(self, size: Sequence[int], layers: Sequence[str] | None = None) -> Geometry:
        """Sizes of values and windows of nodes, for receptive fields.

        Args:
            size: (channels, *size) of an image.
            layers: how far up it goes; everywhere by default.
        """
        return self._readings.geometry(size, layers)
