"""A model read by torch.export: the same graph of nodes, for images of one size."""

from __future__ import annotations

import io
import logging
import operator
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, redirect_stderr
from functools import partial, wraps
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from deconvnet.layers import Mirrors

from .caches import nothing_kept
from .errors import NotFollowed
from .export_functionalize import without_writes
from .export_hidden import Hider, hidden
from .export_modules import called, collapse
from .export_regions import inlined, state_of
from .fx_tracing import Tracer
from .graph import NOTHING, TABLE_ALONE, Graph, assembled
from .hooks import Hooks
from .modes import plain
from .names import numbered
from .signatures import image_argument
from .user_call import left_as_it_was, without_traces

LIFTED = ("PARAMETER", "BUFFER", "CONSTANT_TENSOR")
CHECKS = ("_assert", "sym_constrain")  # operations that compute nothing
SPELLED = {  # torch's word → the node's name, as torch.fx has it
    "add_": "add", "iadd": "add", "radd": "add", "sub_": "sub", "isub": "sub", "rsub": "sub",
    "mul_": "mul", "imul": "mul", "rmul": "mul", "div_": "div", "itruediv": "div", "truediv": "div",
    "rdiv": "div", "rtruediv": "div", "pow_": "pow", "ipow": "pow", "rpow": "pow",
}  # fmt: skip
TO_THE_END = 2**63 - 1  # as torch.export writes it


def export(
    model: nn.Module,
    example: Tensor,
    inputs: Mapping[str, Any] = NOTHING,
    mirrors: Mirrors = TABLE_ALONE,
) -> Graph:
    """Read the graph of a model by running it on images without values; it comes back as it was.

    Sizes are numbers here, so that python may count, compare and branch on them. The graph holds
    for images of this size: any number of them but one, where the model does not ask how many
    they are, else this number (``Graph.batch``). Parameters are the model's own. Of the example,
    (batch, channels, *size) on the model's device and in its precision, the values play no part.

    Raises:
        ValueError: a function of the mirrors is not called.
        NotFollowed: torch.export cannot follow the model.
    """
    try:
        with without_traces(model), _quiet(), plain():
            model.forward = _keeping_nothing(model)  # ``without_traces`` removes this attribute
            with hidden(model, inputs, mirrors) as hider:
                program, batch = _exported(model, example.detach())
        graph = _read(model, program, batch, inputs, hider)
    except Exception as error:
        raise NotFollowed.after(model, error) from error
    mirrors.refuse_uncalled({node.call.target for node in graph}, graph.reader)
    return graph


@contextmanager
def _quiet() -> Iterator[None]:
    """Silence torch.export: what it writes to the terminal about a failure is in the error too."""
    before = logging.root.manager.disable
    logging.disable(logging.ERROR)
    try:
        with redirect_stderr(io.StringIO()), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of torch about itself
            yield
    finally:
        logging.disable(before)


def _keeping_nothing(model: nn.Module) -> Callable[..., Any]:
    """The model's forward, which undoes what it has stored as soon as it has run.

    torch.export runs it several times: a value that one run keeps is none that the next can use.
    After the run it compares the model's attributes with what they were before. In torch 2.6 and
    2.7 a list or dictionary that has grown is an error there.
    """
    forward = model.forward

    @wraps(forward)
    def run(*args: Any, **kwargs: Any) -> Any:
        with left_as_it_was(model), nothing_kept(model):
            return forward(*args, **kwargs)

    return run


def _exported(model: nn.Module, example: Tensor) -> tuple[Any, int | None]:
    """The exported program, and for how many images it holds; None for any number but one."""
    run = partial(torch.export.export, model, (example,), strict=False)
    with torch.enable_grad():
        if len(example) > 1:  # torch.export takes an axis of length one for a number
            try:
                return run(dynamic_shapes=({0: torch.export.Dim("batch")},)), None
            except Exception:  # the model asks how many images there are
                pass
        return run(), len(example)


def _without_values(constant: Any) -> bool:
    """Whether it stands for a value of a run without values, and no other run could use it."""
    wrapped = isinstance(constant, Tensor) and is_functorch_wrapped_tensor(constant)
    return wrapped or isinstance(constant, FakeTensor)


def _read(
    model: nn.Module, program: Any, batch: int | None, inputs: Mapping[str, Any], hider: Hider
) -> Graph:
    inlined(program.graph_module)
    graph: fx.Graph = program.graph
    constants = _lower(program, graph)
    if any(map(_without_values, constants.values())):
        raise RuntimeError("a value is computed where nothing can be followed (torch.func, data)")
    without_writes(graph)
    hider.put_back(graph)
    modules = dict(model.named_modules(remove_duplicate=False))
    mirrors = hider.mirrors
    leaf = Tracer(mirrors=mirrors).is_leaf_module
    collapse(graph, modules, leaf, mirrors)
    _clean(graph)
    names = _names(graph, modules, leaf, image_argument(model, inputs))
    for node in graph.nodes:
        node.meta = {"state": state_of(node)}  # what torch.export noted is as large as the program
    return assembled(
        model, graph, names, constants=constants, batch=batch, inputs=inputs,
        reader="torch.export", mirrors=mirrors,
    )  # fmt: skip


def _lower(program: Any, graph: fx.Graph) -> dict[str, Any]:
    """Turn parameters, buffers and constants into ``get_attr`` nodes of their paths.

    Returns:
        The constants, by path.
    """
    signature = program.graph_signature
    places = [node for node in graph.nodes if node.op == "placeholder"]
    for spec, place in zip(signature.input_specs, places, strict=True):
        if spec.kind.name in LIFTED:
            with graph.inserting_before(place):
                asked = graph.create_node("get_attr", spec.target)
            asked.meta = dict(place.meta)
            place.replace_all_uses_with(asked)
            graph.erase_node(place)
    output = graph.output_node()
    values: Any = output.args[0]
    pairs = zip(signature.output_specs, values, strict=True)
    output.args = (tuple(value for spec, value in pairs if spec.kind.name == "USER_OUTPUT"),)
    own = [spec.target for spec in signature.input_specs if spec.kind.name == "CONSTANT_TENSOR"]
    constants = {path: program.constants[path] for path in own}
    return {**constants, **dict(program.graph_module.named_children())}


def _clean(graph: fx.Graph) -> None:
    """Remove checks, slices of a whole axis, and ``get_attr`` nodes that nobody reads."""
    for node in reversed(list(graph.nodes)):
        name = _operation(node)
        if not node.users and (node.op == "get_attr" or name.startswith(CHECKS)):
            graph.erase_node(node)
        elif name == "slice" and node.args[2:] in ((), (0, TO_THE_END), (0, TO_THE_END, 1)):
            node.replace_all_uses_with(node.args[0])
            graph.erase_node(node)


def _names(
    graph: fx.Graph, modules: Mapping[str, nn.Module], leaf: Any, argument: str
) -> Mapping[fx.Node, str]:
    """Torchvision's names: the module's path and the function's name, numbered if repeated."""
    calls = [node for node in graph.nodes if node.op == "call_function"]
    alone = Counter(_innermost(node, modules) for node in calls)
    results = [node for node in calls if node.target is not operator.getitem]
    last = {node.meta.get("torch_fn", (None,))[0]: node for node in results}
    final = set(last.values())  # of what one function became, the node that is its result
    words: list[tuple[fx.Node, str, bool]] = []
    for node in graph.nodes:
        if node.op == "output":
            continue
        name = argument if node.op == "placeholder" else str(node.target)
        owns = node.op == "call_module"
        if isinstance(node.target, Hooks) and node.target.after and node.target.path:
            name, owns = node.target.path, True
        elif node.op == "call_function":
            key, path = _innermost(node, modules)
            is_leaf = bool(path) and leaf(modules[path], path)
            word = _word(node, called(node) if node in final else "")
            owns = is_leaf and alone[key, path] == 1
            name = ".".join(part for part in (path, word * (not owns)) if part)
        words.append((node, name, owns))
    return numbered(words, filter(None, modules))


def _word(node: fx.Node, function: str) -> str:
    """What a node is called, by the torch function it comes from, else by its operation."""
    word = (function.strip("_") if function.startswith("__") else function) or _operation(node)
    return SPELLED.get(word, word)


def _innermost(node: fx.Node, modules: Mapping[str, nn.Module]) -> tuple[str, str]:
    """The innermost module that a node runs in: its call and its path."""
    stack = list(node.meta.get("nn_module_stack", {}).items())
    key, (path, *_) = stack[-1] if stack else ("", ("",))
    return (key, path) if path in modules else ("", "")  # a size belongs to no module


def _operation(node: fx.Node) -> str:
    """What a function is called: "relu" of ``aten.relu.default``."""
    packet = getattr(node.target, "overloadpacket", node.target)
    return str(getattr(packet, "__name__", ""))
