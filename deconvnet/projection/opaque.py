"""Operations without a mirror of their own: activations inside are ruled by policy, or refused."""

from __future__ import annotations

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.autograd.function import BackwardCFunction
from torch.overrides import TorchFunctionMode

from deconvnet.graph.inplace import asks_in_place
from deconvnet.graph.model_state import version_of
from deconvnet.graph.node import Node
from deconvnet.graph.own_functions import Applied
from deconvnet.layers import (
    Activation,
    Local,
    MirroredLayer,
    Policies,
    Rectification,
    UnmirroredError,
)
from deconvnet.layers.table import ACTIVATIONS

SEALED = (nn.RNNBase, nn.RNNCellBase, torch.jit.ScriptModule)  # nobody sees their activations

HIDDEN = (
    "Relu", "Hardtanh", "Threshold", "LeakyRelu", "PreluKernel", "Elu", "Celu", "Gelu", "Silu",
    "Mish", "Hardswish", "Hardsigmoid", "Softplus", "Hardshrink", "Softshrink", "LogSigmoid",
    "Sigmoid", "Tanh", "Glu", "Rrelu",
)  # fmt: skip
"""How autograd calls activations, as in "ReluBackward0"."""

COMPILED = "what torch.jit has compiled"
RULED = ("Relu", "Hardtanh", COMPILED)

_TRIED: WeakKeyDictionary[Node, tuple[object, dict[Any, bool]]] = WeakKeyDictionary()


def samples_tried(node: Node, policies: Policies) -> MutableMapping[Any, bool]:
    """{size: whether a node keeps samples apart}, as far as tried (see ``local.Traced``).

    It is forgotten when a parameter of the module has changed. The policies rule the activations
    inside of the operation, which is not looked into.
    """
    tensors = [] if node.module is None else [*node.module.parameters(), *node.module.buffers()]
    state = policies, [(id(x), version_of(x)) for x in tensors]
    if node not in _TRIED or _TRIED[node][0] != state:
        _TRIED[node] = state, {}
    return _TRIED[node][1]


def ruled(
    call: Callable[..., Any], policies: Policies, *, module: nn.Module | None
) -> Callable[..., Any]:
    """The same operation with the rectifier's rule at every activation that runs inside it.

    Without, ``torch.autograd`` would carry the signal by the derivative whatever the policy says.

    Raises:
        UnmirroredError: the policy has no rule for an activation inside, or no way to it.
    """
    if policies.rectifier.chain_rule:
        return call
    if isinstance(module, SEALED):
        name = type(module).__name__
        if not policies.rectifier_for(Activation(name, torch.tanh)).chain_rule:
            raise UnmirroredError(
                f"the policy '{policies.rectifier}' cannot be applied inside {name}; choose "
                "fallback='derivative', or another layer"
            )

    def watched(*inputs: Any) -> Any:
        with _Ruling(policies):
            return call(*inputs)

    return watched


class _Rule(torch.autograd.Function):
    """A mirrored layer as one step of autograd."""

    @staticmethod
    def forward(ctx: Any, input: Tensor, layer: MirroredLayer) -> Tensor:
        output, ctx.record = layer.record(input)
        ctx.layer = layer
        return output  # type: ignore[no-any-return]

    @staticmethod
    def backward(ctx: Any, *signals: Any) -> Any:
        return ctx.layer.mirror(signals[0], ctx.record)[0], None


class _Ruling(TorchFunctionMode):
    """While it is on, activation functions follow the policies, in place or not."""

    def __init__(self, policies: Policies) -> None:
        super().__init__()
        self.policies = policies

    def __torch_function__(
        self, function: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        method = getattr(Tensor, name, None) is function
        reader = ACTIVATIONS.get(name if method else function)
        signalled = bool(args) and isinstance(args[0], Tensor) and args[0].requires_grad
        read = reader(*args, **kwargs) if reader is not None and signalled else None
        if read is None:
            return function(*args, **kwargs)
        output = _Rule.apply(args[0], read[0].under(self.policies))
        return args[0].copy_(output) if asks_in_place(function, args, kwargs) else output


def applied(
    target: Applied, call: Callable[..., Any], inputs: int, policies: Policies
) -> MirroredLayer:
    """The layer of a user's own ``autograd.Function``: an activation that no policy has a rule for.

    ``call`` takes the values that carry a signal, ``inputs`` in number.

    Raises:
        UnmirroredError: the policy has no rule, or one for activations of one tensor alone.
    """
    rule = policies.rectifier_for(Activation(target.__name__, torch.tanh))
    if rule.chain_rule:
        return Local(call)
    if inputs > 1:
        raise UnmirroredError(
            f"{target.__name__} takes {inputs} tensors that carry a signal, and the policy "
            f"'{rule}' is one for activations of one; choose fallback='derivative'"
        )
    return Rectification(Activation(target.__name__, _alike(target, call)))


def _alike(target: Applied, call: Callable[[Tensor], Any]) -> Callable[[Tensor], Tensor]:
    def run(z: Tensor) -> Tensor:
        a = call(z)
        if not isinstance(a, Tensor) or a.shape != z.shape:
            raise UnmirroredError(
                f"{target.__name__} does not give one tensor shaped like its input, so that it is "
                "no activation; choose fallback='derivative'"
            )
        return a

    return run


def refuse_unseen(outputs: Sequence[Tensor | None], policies: Policies) -> None:
    """Refuse activations that are left in autograd's graph of an opaque operation.

    Those that the policies rule were replaced while it ran; what is left was hidden: in a compiled
    part, in an ``autograd.Function``, in an operation of an extension.

    Raises:
        UnmirroredError: one was.
    """
    if policies.rectifier.chain_rule:
        return
    for name in sorted(set(_hidden(outputs))):
        hidden = Activation(name, torch.tanh, float("inf") if name in RULED else None)
        ruled = policies.rectifier.supports(hidden)
        if ruled or not policies.rectifier_for(hidden).chain_rule:
            raise UnmirroredError(
                f"the policy '{policies.rectifier}' cannot be applied to {name}, which runs "
                "where it cannot be seen (compiled by torch.jit, or inside an extension); give the "
                "module in plain PyTorch, or use rectifier='gradient'"
            )


def _hidden(outputs: Sequence[Tensor | None]) -> Iterator[str]:
    """The names of activations and of own functions in autograd's graph."""
    open_ = [out.grad_fn for out in outputs if out is not None and out.grad_fn is not None]
    met = set(open_)
    while open_:
        step = open_.pop()
        name = step.name().partition("Backward")[0].rpartition("::")[2]
        own = isinstance(step, BackwardCFunction)
        if name in HIDDEN or (own and getattr(step, "_forward_cls", None) is not _Rule):
            yield name
        elif name == "DifferentiableGraph":
            yield COMPILED
        for below, _ in step.next_functions:
            if below is not None and below not in met:
                met.add(below)
                open_.append(below)
