"""The graphs of a model, their check and its geometries, shared by all its DeconvNets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from torch import Tensor, nn

from deconvnet.graph.frontends import Graphs, blank
from deconvnet.graph.graph import Graph
from deconvnet.graph.hooks import refuse_backward_hooks, watched
from deconvnet.graph.model_state import Look, hooks_of, modules_of, refuse_inference
from deconvnet.graph.observed_hooks import may_change
from deconvnet.graph.user_call import Unguardable
from deconvnet.layers import Policies

from .check.checked_graphs import Checked, named_or_none
from .check.module_calls import untouched
from .forward import geometry_of, record
from .geometry import Geometry
from .memory import Memory
from .recording import Recording

SETTINGS = ("kernel_size", "stride", "padding", "padding_mode", "dilation", "ceil_mode", "groups")
KEPT = 4  # geometries that are remembered


class Resolved(NamedTuple):
    """What is known before images are run.

    Args:
        graph: the model for these images.
        names: of the layers that were asked for.
        geometry: of the images; their recording, where there is one.
        memory: of this geometry.
    """

    graph: Graph
    names: list[str]
    geometry: Geometry
    memory: Memory


def settings(model: nn.Module) -> tuple[object, ...]:
    """What of a model sizes and receptive fields depend on, to notice changes."""
    modules = modules_of(model)
    held = [kept for module in modules for kept in module._parameters.values()]
    return (
        *((type(module), id(vars(module).get("forward"))) for module in modules),
        *(value for module in modules for value in _settings_of(module)),
        *(parameter.shape for parameter in held if parameter is not None),
        *(kept is None for module in modules for kept in module._buffers.values()),
    )


def _settings_of(module: nn.Module) -> list[object]:
    """A class of torch's own keeps them in its objects, where they are found quickly."""
    if type(module).__module__.startswith("torch.nn.modules."):
        own = vars(module)
        return [own.get(name) for name in SETTINGS]
    return [getattr(module, name, None) for name in SETTINGS]


class Readings:
    """The graphs and the geometries of a model, made as they are asked for.

    Args:
        model: any module that takes images, in a wrapper or not.
        inputs: {argument: value} of the arguments of forward beside the images.
        mirrors: {module class or function: mirror} of the user's own.
        size: (channels, *size) of one image, for which a graph is read at once.
        check: hold graphs against the model.

    Attributes:
        graphs: of the model.
        model: without its wrapper.

    Raises:
        UntraceableError: the model is none that can be read.
    """

    def __init__(
        self,
        model: nn.Module,
        inputs: Mapping[str, Any] | None,
        mirrors: Mapping[Any, Any] | None,
        *,
        size: Sequence[int] | None,
        check: bool,
    ) -> None:
        self.graphs = Graphs(model, inputs, mirrors)
        self.model = self.graphs.model
        self._checked = Checked.if_asked(self.graphs, check)
        self._latest = None if size is None else self.graphs.of_size(size)
        self._geometries: list[tuple[object, Geometry]] = []
        self._resolved: dict[object, tuple[object, Resolved]] = {}

    @property
    def graph(self) -> Graph:
        """The graph for images of any size, else for those of the latest call.

        Raises:
            UntraceableError: only torch.export can read the model, and there were no images.
        """
        graph = self._latest or self.graphs.any_size
        if graph is None:
            raise self.graphs.unseen()
        return graph

    def named(
        self, images: Tensor, layers: Sequence[str | nn.Module] | None, *, recorded: bool = False
    ) -> tuple[Graph, list[str]]:
        """The graph for images, which is the model up to these layers, and the layers' names.

        For no layers, that of what the model returns. Images that were ``recorded`` ran before:
        their graph is there, and was checked.

        Raises:
            KeyError: no such layer.
            ValueError: the images do not fit the model; it was made in inference mode; a backward
                hook may change gradients.
        """
        if recorded:
            # read again where hooks came since, after which graphs of sizes are forgotten
            graph = self.graphs.held(images.shape) or self.graphs.of(images)
            names = graph.named(layers)
        else:
            refuse_inference(self.model)
            graph, names = self._of(images, layers)
        refuse_backward_hooks(graph.model, graph.upto(names))
        return graph, names

    def _of(
        self, images: Tensor, layers: Sequence[str | nn.Module] | None
    ) -> tuple[Graph, list[str]]:
        graph = self._latest = self.graphs.of(images)
        if self._checked is None:
            return graph, graph.named(layers)
        known = named_or_none(graph, layers)
        refuse_backward_hooks(graph.model, graph.upto(known or ()))  # before they would run
        checked = self._latest = self._checked.of(images, layers)
        return checked, known if known and checked is graph else checked.named(layers)

    def resolved(
        self,
        images: Tensor,
        layers: Sequence[str | nn.Module],
        recording: Recording | None,
        *,
        policies: Policies,
    ) -> Resolved:
        """As ``named``, and a geometry of the images; the same while the model is as it was.

        Where hooks may change values, the images are recorded now: these hooks would have to run
        for a geometry, too.

        Raises:
            As ``named``.
            UnmirroredError: an activation on the way has no rule under the policies.
        """
        if recording is not None:
            graph, names = self.named(images, layers, recorded=True)
            return Resolved(graph, names, recording, Memory())
        asked, look = (images.shape, images.dtype, images.device, tuple(layers)), Look(self.model)
        state, known = self._resolved.get(asked, (None, None))
        if known is not None and state == look.state and not look.hooked:
            self._latest = known.graph
            return known
        known = self._resolve(images, layers, policies=policies)
        if not look.hooked and not self.graphs.inputs and self._checks(known.graph, images):
            before = [*self._resolved.items()][1 - KEPT :]
            self._resolved = {**dict(before), asked: (look.state, known)}
        return known

    def _checks(self, graph: Graph, images: Tensor) -> bool:
        """Whether a graph need not be compared with the model again for images like these."""
        return self._checked is None or self._checked.knows(graph, images)

    def _resolve(
        self, images: Tensor, layers: Sequence[str | nn.Module], *, policies: Policies
    ) -> Resolved:
        graph, names = self.named(images, layers)
        size, count, wanted = images.shape[1:], len(images), sorted(set(names))
        if count and may_change(graph.upto(names)):
            made = record(graph, images, wanted, policies=policies)
            return Resolved(graph, names, made, Memory())
        if count > 2 and self.graphs.any_size is not None:
            try:  # two images show whether they are kept apart
                geometry = self.geometry(size, wanted, images=2, like=images)
                return Resolved(graph, names, geometry, Memory())
            except ValueError:  # a model may take batches of some sizes only
                pass
        geometry = self.geometry(size, wanted, images=count, like=images)
        return Resolved(graph, names, geometry, Memory())

    def geometry(
        self,
        size: Sequence[int],
        layers: Sequence[str] | None = None,
        *,
        images: int = 1,
        like: Tensor | None = None,
    ) -> Geometry:
        """The geometry of images of this (channels, *size), up to some layers or of all nodes."""
        empty = blank(self.model, size, like=like).expand(images, *size)
        modules = modules_of(self.model)
        asked = (
            self.graphs.of(empty), empty.shape, empty.dtype, layers and tuple(layers),
            settings(self.model), [hooks_of(module) for module in modules],
        )  # fmt: skip
        if self._latest is None and self.graphs.any_size is None:
            self._latest = asked[0]  # the one graph there is so far
        known = [geometry for key, geometry in self._geometries if key == asked]
        if not known or any(map(watched, modules)):
            known = [self._measured(asked[0], empty, layers)]
            self._geometries = [*self._geometries[1 - KEPT :], (asked, known[0])]
        return known[0]

    def _measured(self, graph: Graph, empty: Tensor, layers: Sequence[str] | None) -> Geometry:
        """What is written is taken back."""
        for guarded in (True, False):
            try:
                with untouched(self.model, guarded=guarded):
                    return geometry_of(graph, empty, layers)
            except Unguardable:
                continue
        raise AssertionError("without a guard it runs")
