"""Draw the weights of a net anew, layer by layer in the order of its graph, and put them back."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from deconvnet.arguments import integer
from deconvnet.graph.graph import Graph
from deconvnet.graph.model_state import contents

INITS = ("truncated_normal", "reset")
_EDGE = 2.0  # standard deviations at which the normal distribution is cut, as TensorFlow cuts it


@dataclass(frozen=True, eq=False)
class Weights:
    """The weights that one node of a graph uses.

    Args:
        name: of the node, or of the module whose forward uses them.
        node: of the graph, the lowest that uses them.
        number: among all weights, from the images up: the seed of their draw.
        module: whose they are; None for a parameter that the model's own forward uses.
        parameters: {name: parameter} that no node below uses.
    """

    name: str
    node: str
    number: int
    module: nn.Module | None
    parameters: Mapping[str, nn.Parameter]

    @property
    def filters(self) -> dict[str, nn.Parameter]:
        """Those that mix channels; scales and shifts of a normalisation do not."""
        return {k: p for k, p in self.parameters.items() if p.numel() > max(p.shape, default=1)}


@dataclass(frozen=True, eq=False)
class Stage:
    """Weights that are drawn together: a layer with the normalisation behind it, or several."""

    name: str
    weights: tuple[Weights, ...]


def weights_below(graph: Graph, layer: str) -> list[Weights]:
    """The weights that the values of a layer depend on, its own among them, from the images up.

    Weights that several nodes share belong to the lowest.
    """
    known: list[Weights] = []
    taken: set[int] = set()
    for node in graph.upto([layer]):
        name, module = node.name, node.module
        if node.call.op == "get_attr":
            name, module = _owner(graph, str(node.call.target))
        held = _tensors(graph, str(node.call.target)) if module is None else module
        every = dict(held.named_parameters()) if isinstance(held, nn.Module) else held
        new = {
            f"{name}.{k}" if k else name: one
            for k, one in every.items()
            if id(one) not in taken and one.is_floating_point()
        }
        taken.update(map(id, new.values()))
        if new or (node.module is not None and _counts(node.module)):
            known.append(Weights(name, node.name, len(known), module, new))
    return known


def _owner(graph: Graph, path: str) -> tuple[str, nn.Module | None]:
    """The module whose forward uses a parameter, if it can draw it; else the parameter's path."""
    parent = path.rpartition(".")[0]
    module = graph.model.get_submodule(parent) if parent and path not in graph.constants else None
    return (parent, module) if module is not None and _reset(module) else (path, None)


def _tensors(graph: Graph, path: str) -> dict[str, nn.Parameter]:
    """The parameter of this path, if it is one."""
    value = graph.attribute(path) if path in dict(graph.model.named_parameters()) else None
    return {"": value} if isinstance(value, nn.Parameter) else {}


def _counts(module: nn.Module) -> bool:
    """Whether a module holds statistics of its inputs."""
    return getattr(module, "running_mean", None) is not None


def stages_of(weights: Sequence[Weights], wanted: int | Sequence[str]) -> list[Stage]:
    """Weights in stages, from the images up.

    A normalisation belongs to the layer below it.

    Args:
        weights: as ``weights_below`` gives them.
        wanted: at most how many stages, each of as many layers; or names of layers or modules,
            each of which is a stage: all others keep their weights.

    Raises:
        KeyError: nothing with weights has this name.
        ValueError: there are no weights, no stages, or one layer is in two.
    """
    if not weights:
        raise ValueError("no weights lie below the target, so that nothing can be randomised")
    if not isinstance(wanted, int | np.integer):
        return _named(weights, [wanted] if isinstance(wanted, str) else list(wanted))
    if integer("stages", wanted) < 1:
        raise ValueError(f"stages={wanted} was given, expected 1 or more, or names of layers")
    layers: list[list[Weights]] = []
    for one in weights:
        if one.filters or not layers:
            layers.append([])
        layers[-1].append(one)
    parts = np.array_split(np.arange(len(layers)), min(int(wanted), len(layers)))
    return [_stage([one for place in part for one in layers[place]]) for part in parts]


def _stage(weights: list[Weights]) -> Stage:
    names = [one.name for one in weights if one.filters] or [weights[0].name]
    return Stage(names[0] if len(names) == 1 else f"{names[0]} to {names[-1]}", tuple(weights))


def _named(weights: Sequence[Weights], names: Sequence[str]) -> list[Stage]:
    stages = []
    for name in names:
        inside = [one for one in weights if f"{one.name}.".startswith(f"{name}.")]
        if not inside:
            known = ", ".join(one.name for one in weights[-6:])
            raise KeyError(f"no layer below the target has weights and is called {name!r}: {known}")
        stages.append(Stage(name, tuple(inside)))
    used = [one.name for stage in stages for one in stage.weights]
    if len(set(used)) < len(used) or not used:
        raise ValueError(f"stages={list(names)} was given, expected different layers, at least one")
    return sorted(stages, key=lambda stage: stage.weights[0].number)


class Randomiser:
    """The weights of a model, which are drawn anew or put back.

    Used on a copy or within ``copies.kept``, so that nothing of the user's is written into.

    Args:
        model: whose weights they are.
        init: "truncated_normal": every parameter by a normal distribution around 0, cut at two
            standard deviations, and scales and shifts of normalisations, which have no meaning
            around 0, by their own ``reset_parameters``; "reset": all by that.
        std: standard deviation of the former; Adebayo et al. 2018 state 0.01.
        random_state: seed; each layer has a generator of its own, made of the seed and its place.
    """

    def __init__(self, model: nn.Module, *, init: str, std: float, random_state: int) -> None:
        if init not in INITS:
            raise ValueError(f"init={init!r} was given, expected one of {', '.join(INITS)}")
        if not 0 < std < float("inf"):
            raise ValueError(f"init_std={std} was given, expected a number above 0")
        if integer("random_state", random_state) < 0:
            raise ValueError(f"random_state={random_state} was given, expected 0 or more")
        self.init, self.std, self.random_state = init, std, int(random_state)
        self._tensors = [*model.parameters(), *model.buffers()]
        self._trained = [one.detach().clone() for one in self._tensors]
        self._drawn: dict[object, str] = {}

    def put_back(self) -> None:
        """Give every parameter and buffer its trained value again."""
        with torch.no_grad():
            for tensor, trained in zip(self._tensors, self._trained, strict=True):
                tensor.copy_(trained)

    def check(self, stages: Sequence[Stage]) -> None:
        """Refuse layers that cannot be drawn, before any work.

        Raises:
            ValueError: a module has no ``reset_parameters``, which ``init`` needs.
        """
        if self.init != "reset":
            return
        for one in (one for stage in stages for one in stage.weights):
            parts = [] if one.module is None else _own_parts(one.module)
            if not parts or any(_reset(part) is None for part in parts):
                kind = "a parameter of the model" if one.module is None else type(one.module)
                name = kind if isinstance(kind, str) else kind.__name__
                raise ValueError(
                    f"{one.name} ({name}) has no reset_parameters, by which init='reset' draws "
                    "weights; use init='truncated_normal', or leave it out of stages="
                )

    def draw(self, stage: Stage) -> None:
        """Draw the weights of a stage.

        Raises:
            ValueError: they are what they were before, or those of another layer of their shape.
        """
        filters = {k: p for part in stage.weights for k, p in part.filters.items()}
        before = {name: contents(one) for name, one in filters.items()}
        for part in stage.weights:
            self._draw(part)
        for name, one in filters.items():
            if contents(one) == before[name]:
                raise ValueError(
                    f"the weights {name} are the same before and after they were drawn: "
                    "reset_parameters leaves them as they are; use init='truncated_normal'"
                )
        for part in stage.weights:
            for name, one in part.filters.items():
                other = self._drawn.setdefault(contents(one), name)
                if other != name:
                    raise ValueError(
                        f"{name} and {other} were drawn equal, so that they are not random: their "
                        "reset_parameters sets a seed; use init='truncated_normal'"
                    )

    def _draw(self, part: Weights) -> None:
        seeds = np.random.SeedSequence((self.random_state, part.number)).generate_state(2)
        seed = int(seeds[0]) << 32 | int(seeds[1])
        own = [] if part.module is None else _own_parts(part.module)
        if own and (self.init == "reset" or not part.filters) and all(map(_reset, own)):
            with seeded(seed, list(part.parameters.values())), torch.no_grad():
                for one in own:
                    _reset(one)()
            return
        generator = torch.Generator().manual_seed(seed >> 1)
        for parameter in part.parameters.values():
            drawn = torch.empty(parameter.shape, dtype=torch.float32)
            edge = _EDGE * self.std
            nn.init.trunc_normal_(drawn, 0.0, self.std, -edge, edge, generator=generator)
            with torch.no_grad():
                parameter.copy_(drawn)


def _own_parts(module: nn.Module) -> list[nn.Module]:
    """The modules within a module that hold weights or statistics themselves."""
    return [
        one
        for one in module.modules()
        if any(True for _ in one.parameters(recurse=False)) or _counts(one)
    ]


def _reset(module: nn.Module) -> Any:
    """The method that draws a module's weights; None without one."""
    return getattr(module, "reset_parameters", getattr(module, "_reset_parameters", None))


@contextmanager
def seeded(seed: int, like: Sequence[Tensor]) -> Iterator[None]:
    """PyTorch's own generator with another seed; its state comes back."""
    devices = sorted({one.device.index or 0 for one in like if one.device.type == "cuda"})
    with torch.random.fork_rng(devices):
        torch.default_generator.manual_seed(seed >> 1)
        for device in devices:
            torch.cuda.default_generators[device].manual_seed(seed >> 1)
        yield
