"""A model as a graph of nodes: modules, functions and methods, in-place and reused ones too."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field, replace
from difflib import get_close_matches
from functools import cached_property
from types import MappingProxyType
from typing import Any

import torch
from torch import fx, nn
from torch.utils import _pytree as pytree

from deconvnet.arguments import brief, counted, cut
from deconvnet.layers import Mirrors

from .errors import NotFollowed, UntraceableError
from .fx_tracing import Tracer, attribute, constants, unwrapped
from .hooks import hooked
from .inplace import functionalize, mutates, unseen_write
from .model_state import contents
from .modes import plain as plain_state
from .node import Node, target_of
from .node_state import PLAIN
from .own_functions import in_place_of, kept_whole
from .signatures import image_argument
from .user_call import parameters_kept, without_traces

NOTHING: Mapping[str, Any] = MappingProxyType({})
TABLE_ALONE = Mirrors()


@dataclass(eq=False, repr=False)
class Graph:
    """The nodes of a model in the order in which they run."""

    model: nn.Module  # which is not changed
    nodes: dict[str, Node]  # by name
    _: KW_ONLY
    names: Mapping[fx.Node, str]  # of every traced node
    returned: list[str]  # names of the nodes whose values the model returns
    constants: Mapping[str, Any]  # tensors that forward makes itself, by torch.fx's name for them
    batch: int | None = None  # the number of images it holds for; None for any
    output: Any = ()  # what the model returns, with traced nodes in it
    inputs: Mapping[str, Any] = field(default_factory=dict)  # of arguments beside the images
    reader: str = "torch.fx"  # or "torch.export", which has read it
    mirrors: Mirrors = TABLE_ALONE  # the layers that its nodes become
    stopped: UntraceableError | None = field(default=None, init=False)  # why it ends early

    def __post_init__(self) -> None:
        places = [node.name for node in self if node.call.op == "placeholder"]
        self.input, self.extra_inputs = places[0], places[1:]

    def __repr__(self) -> str:
        ways = f"{self.input} -> {', '.join(self.returned) or 'nothing'}"
        return brief(
            "Graph", type(self.model).__name__, counted(len(self.nodes), "node"), cut(ways, 300),
            f"read by {self.reader}",
        )  # fmt: skip

    def __iter__(self) -> Iterator[Node]:
        return iter(self.nodes.values())

    def over(self, model: nn.Module, constants: Mapping[str, Any]) -> Graph:
        """The same graph of a copy of the model, whose modules stand where they stand here."""
        modules = dict(model.named_modules(remove_duplicate=False))
        nodes = {
            name: replace(node, module=node.module and modules[str(node.call.target)])
            for name, node in self.nodes.items()
        }
        return replace(self, model=model, nodes=nodes, constants=constants)

    @cached_property
    def signature(self) -> int:
        """A number that two graphs share if they have the same nodes and constants."""
        nodes = tuple(
            (n.name, n.call.op, target_of(n), str(n.call.args), str(n.call.kwargs)) for n in self
        )
        held = tuple((path, contents(value)) for path, value in sorted(self.constants.items()))
        own = tuple((id(key), id(mirror)) for key, mirror in self.mirrors.named.items())
        return hash((nodes, held, str(self.output), self.batch, own))

    def attribute(self, path: str) -> Any:
        """A parameter, buffer or constant by the path under which a node asks for it."""
        return self.constants[path] if path in self.constants else attribute(self.model, path)

    def upto(self, names: Iterable[str]) -> list[Node]:
        """The nodes that must run to give the values of these ones, in order.

        Among them are calls whose result nobody reads, of functions of the model's own on values
        that are needed: they can only have been made for what they write.
        """
        asked = frozenset(names)
        if asked not in self._nodes_upto:
            wanted = self._needed(set(asked))
            for node in self:
                if node.name not in wanted and node.name in self._for_effect:
                    if not wanted.isdisjoint(node.sources):
                        wanted |= self._needed({node.name})
            self._nodes_upto[asked] = [node for node in self if node.name in wanted]
        return list(self._nodes_upto[asked])

    @cached_property
    def _nodes_upto(self) -> dict[frozenset[str], list[Node]]:
        """What ``upto`` gave for some names."""
        return {}

    def _needed(self, names: set[str]) -> set[str]:
        wanted = set(names)
        for node in reversed(list(self)):
            if node.name in wanted:
                wanted.update(node.sources)
        return wanted

    @cached_property
    def _for_effect(self) -> set[str]:
        """Unread calls of functions that are neither torch's nor python's own."""
        read = {source for node in self for source in node.sources} | set(self.returned)
        return {
            node.name
            for node in self
            if node.name not in read
            and node.call.op == "call_function"
            and str(getattr(node.call.target, "__module__", "torch")).partition(".")[0]
            not in ("torch", "_operator", "math", "builtins", "None")
        }

    def named(self, layers: Sequence[str | nn.Module] | None) -> list[str]:
        """The names of nodes; of those that the model returns, for None.

        Raises:
            KeyError: see ``find``.
            UntraceableError: the graph could not be read as far as that.
        """
        if layers is not None:
            return [self.find(layer) for layer in layers]
        if self.stopped is not None:
            raise self.stopped
        return self.returned

    def find(self, layer: str | nn.Module) -> str:
        """The name of a node, by its name, its module, or a module that contains it.

        A container stands for the last node that ran in it.

        Raises:
            KeyError: nothing here has this name, or the module is not called exactly once.
        """
        if isinstance(layer, nn.Module):
            return self._find_module(layer)
        if layer in self.nodes:
            return layer
        inside = [name for name in self.nodes if name.startswith(f"{layer}.")]
        if inside and (self.stopped is None or layer in self.whole):
            return inside[-1]
        if self.stopped is not None:
            raise self.stopped
        raise KeyError(f"no layer is called {layer!r}; {self._nearest(layer)}")

    def _find_module(self, module: nn.Module) -> str:
        called = [node.name for node in self if node.module is module]
        if len(called) == 1:
            return called[0]
        if called:
            raise KeyError(
                f"the module {type(module).__name__} runs {len(called)} times; say which call: "
                f"{', '.join(called)}"
            )
        for path, candidate in self.model.named_modules():
            if candidate is module and path:
                return self.find(path)
        raise KeyError(f"this {type(module).__name__} is no part of the model")

    @property
    def whole(self) -> set[str]:
        """The paths of the modules that the graph holds to their end, where it ends early."""
        return set(getattr(self.stopped, "followed", ()))

    def binds_alike(self, node: Node) -> bool:
        """Whether a call is read alike in every run, while the model's state is the same.

        (Views of what is written in place were refused when the geometry was found.)
        """
        module = node.module
        if node.state != PLAIN or self.mirrors.is_own(module, node.call.target):
            return False
        if module is None:
            return True
        return self.mirrors.is_read_as(module, type(module)) and not hooked(module)

    def _nearest(self, layer: str) -> str:
        near = get_close_matches(layer, self.nodes, n=4, cutoff=0.4)
        if near:
            return f"the nearest are {', '.join(near)}"
        return f"the layers are {', '.join(list(self.nodes)[:8])}, …; see DeconvNet.layers"


def trace(
    model: nn.Module, inputs: Mapping[str, Any] = NOTHING, mirrors: Mirrors = TABLE_ALONE
) -> Graph:
    """Read the graph of a model; the model comes back as it was.

    Wrappers that change nothing of what a model computes (``torch.compile``, ``DataParallel``)
    are taken off: the nodes are those of the model inside.

    Raises:
        NotFollowed: torch.fx cannot follow the model; the message names the line.
        UntraceableError: nothing can.
    """
    model = unwrapped(model)
    if isinstance(model, torch.jit.ScriptModule):
        raise UntraceableError(
            f"{type(model).__name__} is compiled by torch.jit and no longer says what it does; "
            "give the nn.Module it was made from"
        )
    if not image_argument(model, inputs):
        raise UntraceableError(f"{type(model).__name__} takes no input; give a model of images")
    kept = without_traces(model), parameters_kept(model)
    with kept[0], kept[1], plain_state(), torch.enable_grad():
        refusal, tracer = None, Tracer(inputs, mirrors)
        buffers = dict(model.named_buffers(remove_duplicate=False))
        try:
            with in_place_of(mirrors.functions, tracer.instead), kept_whole(tracer.hide):
                traced = tracer.trace(model)
        except Exception as error:
            refusal, traced = NotFollowed.after(model, error, followed=tracer.done), tracer.graph
            traced.output(())
        written = constants(traced, model, buffers)
    modules = dict(model.named_modules(remove_duplicate=False))
    if path := unseen_write(traced, modules, model):
        raise NotFollowed(model, f"forward writes into {path}, which a module reads by itself")
    functionalize(traced, modules)
    graph = assembled(
        model, traced, tracer.names(traced), constants=written, inputs=inputs, mirrors=mirrors
    )
    if refusal is None:
        mirrors.refuse_uncalled({node.call.target for node in graph}, graph.reader)
        return graph
    if any(node.module is not None for node in graph):
        refusal.below = graph
    raise refusal from refusal.cause


def assembled(
    model: nn.Module,
    traced: fx.Graph,
    names: Mapping[fx.Node, str],
    *,
    constants: Mapping[str, Any],
    batch: int | None = None,
    inputs: Mapping[str, Any] = NOTHING,
    reader: str = "torch.fx",
    mirrors: Mirrors = TABLE_ALONE,
) -> Graph:
    """Make the graph of a model from traced nodes without writes.

    Raises:
        NotFollowed: forward takes its inputs as ``*args``, which torch.fx mistakes for one tensor.
    """
    modules = dict(model.named_modules(remove_duplicate=False))
    nodes: dict[str, Node] = {}
    for call in traced.nodes:
        if call.op == "output":
            continue
        if call.op == "placeholder" and str(call.target).startswith("*") and call.users:
            raise NotFollowed(model, f"forward takes {call.target}; let it take the images alone")
        module = modules[call.target] if call.op == "call_module" else None
        sources = tuple(names[source] for source in call.all_input_nodes)
        nodes[names[call]] = Node(names[call], call, module, sources, mutates(call, modules))
    output = _opened(traced.output_node().args[0])
    ends = [leaf for leaf in pytree.tree_leaves(output) if isinstance(leaf, fx.Node)]
    returned = list(dict.fromkeys(names[node] for node in ends))
    return Graph(
        model, nodes, names=names, returned=returned, constants=constants, batch=batch,
        output=output, inputs=inputs, reader=reader, mirrors=mirrors,
    )  # fmt: skip


def _opened(part: Any) -> Any:
    """What is returned, with named tuples and data classes as plain containers of nodes."""
    if isinstance(part, fx.Node):
        made = part.op == "call_function" and isinstance(part.target, type)
        return [_opened([*part.args, *part.kwargs.values()])] if made else part
    if isinstance(part, dict):
        return {key: _opened(one) for key, one in part.items()}
    return [_opened(one) for one in part] if isinstance(part, (tuple, list)) else part
