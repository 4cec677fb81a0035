"""DeconvNet: a model and the rule by which its activations pass signals backward."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from torch import Tensor, nn

from deconvnet.data.given_images import given_images
from deconvnet.data.pictures import Prepares
from deconvnet.data.resolve import accepted as accepted_preprocessing
from deconvnet.data.resolve import known_preprocessing
from deconvnet.graph.errors import UntraceableError
from deconvnet.graph.graph import Graph
from deconvnet.graph.model_state import weights_of
from deconvnet.graph.modes import plain
from deconvnet.graph.observed_hooks import hooks_in
from deconvnet.projection.forward import record
from deconvnet.projection.geometry import Geometry
from deconvnet.projection.inputs import accepted, resolve, size_of
from deconvnet.projection.plan import Plan, plan_of
from deconvnet.projection.project import answered
from deconvnet.projection.readings import Readings
from deconvnet.projection.recording import Recording
from deconvnet.projection.result import Projection, cropped, pixels, signals
from deconvnet.projection.tables import Layer, layers_of, mirror_html, unknown_size

from .arguments import brief, counted, listed
from .layers import Policies, Rectifier
from .layers import rectifier as named_rule
from .units import Unit


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
            torch.export can read; by default that of the preprocessing, else 224 x 224.
        preprocessing: makes tensors of images and pictures of tensors, where a call and its data
            set state none: a ``Preprocessing``, torchvision's weights or transforms, timm's
            ``pretrained_cfg``, or a callable (see ``deconvnet.data.Transform``). By default
            ``model.preprocessing``, else timm's ``model.pretrained_cfg``.
        inputs: {argument of forward: value} of a model that takes more than the images.
        mirrors: {module class or function: mirror} for operations of your own, each of which
            becomes one node: see ``layers/README.md``; also as an attribute of the model.
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
        preprocessing: Any = None,
    ) -> None:
        self._stated = None if preprocessing is None else accepted_preprocessing(preprocessing)
        self.policies = Policies.of(
            rectifier, fallback, normalization=normalization, unpooling=unpooling
        )
        self._input_size = None if input_size is None else size_of(input_size)
        self._readings = Readings(model, inputs, mirrors, size=self._input_size, check=check)
        self.model = self._readings.model

    def __repr__(self) -> str:
        graph = self._readings.graphs.any_size
        nodes = counted(len(graph.nodes), "node") if graph else "read for each size of images"
        return brief("DeconvNet", type(self.model).__name__, str(self.policies), nodes)

    def _repr_html_(self) -> str | None:
        """For notebooks: the mirror from top to bottom, for images of the size of ``layers``."""
        try:
            layers, size = self.layers, self._input_size or self._usual_size()
        except ValueError:
            return None  # no size is known that fits, so there is nothing beside the repr
        graph = self._readings.graphs.of_size(size)
        return mirror_html(repr(self), graph, self.geometry(size), self.policies, layers)

    def with_rectifier(self, rectifier: str | Rectifier) -> DeconvNet:
        """The same model under another rule; its graphs, their check and its geometries are shared.

        So are recordings, where they hold what the other rule needs: one made under "gradient"
        serves "guided", "deconvnet" and "identity" too. Fallback, normalization and unpooling stay
        as they are.

        Args:
            rectifier: a name or an instance, as for ``DeconvNet``.

        Raises:
            ValueError: no policy has this name.
        """
        other, rule = copy.copy(self), named_rule(rectifier)
        if rule is not self.policies.rectifier:
            other.policies = replace(self.policies, rectifier=rule)
        return other

    @property
    def preprocessing(self) -> Prepares | None:
        """What makes tensors of images, as it was given or as the model states it; else None."""
        return self._stated or known_preprocessing(model=self.model)

    @property
    def graph(self) -> Graph:
        """The nodes of the model; of one that torch.export reads, for the latest images.

        Before any images it is the graph of the first size whose layers were asked for; an
        UntraceableError if only torch.export can read the model, and no size is known.
        """
        return self._readings.graph

    @property
    def axes(self) -> int:
        """Spatial axes of the model's images, by the first operation that says; 2 if none does."""
        return self._readings.graphs.axes

    def _tensor(self, images: Any) -> Any:
        if isinstance(images, Recording):
            return images
        return given_images(images, axes=self.axes, model=self).tensor

    @plain()
    def record(
        self, images: Any, layer: str | nn.Module | Sequence[str | nn.Module] | None = None
    ) -> Recording:
        """Run images up to a layer and remember what the mirror needs.

        Args:
            images: (batch, channels, *size), or (channels, *size) of one: floats, preprocessed as
                the model wants them. Or paths, PIL images or uint8 arrays, one or a list, which
                ``preprocessing`` makes tensors of (see ``data.given_images``).
            layer: node name or module, or several; by default what the model returns.

        Raises:
            KeyError: no such layer.
            UnmirroredError: an activation on the way has no rule under the policy.
            ValueError: the images do not fit the model.
        """
        chosen = None if layer is None else listed(layer, str, nn.Module)
        images = accepted(self._tensor(images), self._readings.graphs)
        graph, names = self._readings.named(images, chosen or None)
        if not names:
            raise ValueError(f"{type(self.model).__name__} returns no tensor: name a layer")
        recording = record(graph, images, names, policies=self.policies)
        weights, hooks = weights_of(self.model), hooks_in(self.model)
        return replace(recording, source=self._readings, weights=weights, hooks=hooks)

    @plain()
    def project(
        self,
        images: Any,
        *,
        layer: str | nn.Module | None = None,
        channel: int | None = None,
        position: tuple[int, ...] | None = None,
        units: Unit | Sequence[Unit] | None = None,
        seed: str = "activation",
        direction: Any = None,
        through: Mapping[str | nn.Module, int | Sequence[int]] | None = None,
        crop: bool = False,
        strategy: str | None = None,
    ) -> Tensor | list[Projection]:
        """Project units to the pixels: what of the images each of them responds to.

        Give a layer and a channel (and a position; by default the strongest one of the channel
        in each image), or a list of units. Units with a position are run on nothing but what
        they see, or share whole images, whichever takes fewer multiply-adds (see ``plan``).
        Images without units are left out, so that a model must not count the images of a batch.

        Args:
            images: as for ``record``, or a recording of them.
            layer: node name, as in ``layers``, or the module.
            channel: index of the feature map.
            position: (row, col) in the map.
            units: units of these images, one or several; of any layers.
            seed: "activation", "one" or "map": the recorded value at the unit, 1.0, or the whole
                feature map of the channel.
            direction: (channels,) in place of a channel: the activation is the sum of direction
                times maps, as of one more 1x1 filter, and the signal starts along the direction.
                (directions, channels) with units, whose channel is then the number of a direction.
            through: {layer: channels}: only what passes these channels goes on, and nothing that
                goes round the layer (a skip connection): under "gradient" the parts sum to the
                whole where every path crosses it. Several layers are crossed in turn.
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
        ask = partial(
            resolve, self._tensor(images), layer, channel, position=position, units=units,
            seed=seed, crop=crop, strategy=strategy, direction=direction, through=through or {},
        )  # fmt: skip
        gather: Callable[..., Tensor | list[Projection]] = cropped if crop else pixels
        return answered(ask, gather, readings=self._readings, policies=self.policies)

    @plain()
    def signals(
        self,
        images: Any,
        units: Unit | Sequence[Unit],
        at: str | nn.Module | Sequence[str | nn.Module] | None = None,
        *,
        seed: str = "activation",
        direction: Any = None,
        strategy: str | None = None,
    ) -> Tensor | dict[str, Tensor]:
        """The signals of units at layers below them, on their way down to the pixels.

        The signal at a layer is that of its output: at a rectifier, before its rule is applied.
        Under "gradient" with ``seed="one"`` it is the unit's derivative by the layer's values;
        times these, and summed, it is the unit if no bias is between them and no path goes round.

        Args:
            images: as for ``project``.
            units: as for ``project``.
            at: node name or module of a layer below all units, or several; None for every node
                below them that has maps and is reached, from top to bottom.
            seed: as for ``project``.
            direction: as for ``project``.
            strategy: as for ``project``.

        Returns:
            (units, channels, *size) in the whole maps of the layer; of several, {node: signal}.

        Raises:
            ValueError: a layer is not below the units, or no signal arrives; else as ``project``.
        """
        ask = partial(
            resolve, self._tensor(images), units=units, seed=seed, strategy=strategy,
            direction=direction, at=at,
        )  # fmt: skip
        made = answered(ask, signals, readings=self._readings, policies=self.policies)
        return next(iter(made.values())) if isinstance(at, (str, nn.Module)) else made

    @plain()
    def plan(
        self, images: Any, units: Unit | Sequence[Unit], *, strategy: str | None = None
    ) -> Plan:
        """How ``project`` treats these images and units, and what it costs; nothing is projected.

        Args:
            images: as for ``record``.
            units: of these images, one or several.
            strategy: as for ``project``.

        Returns:
            ``Plan(strategy, multiply_adds, …)``: "cone", "shared" or "mixed"; and the
            multiply-adds of each strategy, of what is "taken", and of "full" passes for every unit.
        """
        request = resolve(
            self._tensor(images), units=units, strategy=strategy, readings=self._readings,
            policies=self.policies,
        )  # fmt: skip
        return plan_of(request, self.policies)

    @property
    def layers(self) -> Mapping[str, Layer]:
        """{node name: Layer} of every node that has feature maps, for images of one size.

        The size is ``input_size``, else that of the preprocessing, else 224 x 224 (with as
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
            raise unknown_size(size, error) from error

    def _usual_size(self) -> tuple[int, ...]:
        """(channels, *size): as the preprocessing makes it, else 224 along each axis."""
        graphs, known = self._readings.graphs, self.preprocessing
        size = [224] * min(2, graphs.axes)
        return (graphs.channels, *(known.shape[1:] if known and known.shape else size))

    @plain()
    def layers_at(self, size: Sequence[int]) -> Mapping[str, Layer]:
        """``layers`` for images of another size.

        Args:
            size: (channels, *size) of an image.

        Raises:
            UntraceableError: the graph of the model cannot be read for it.
            ValueError: images of this size do not fit the model.
        """
        axes, graphs, size = self.axes, self._readings.graphs, size_of(size)
        if len(size) <= axes:
            raise ValueError(f"the size was {size}; expected (channels, *size), of {axes} axes")
        return layers_of(graphs.of_size(size), self.geometry(size))

    @plain()
    def geometry(self, size: Sequence[int], layers: Sequence[str] | None = None) -> Geometry:
        """Sizes of values and windows of nodes, for receptive fields.

        Args:
            size: (channels, *size) of an image.
            layers: how far up it goes; everywhere by default.
        """
        return self._readings.geometry(size, layers)
