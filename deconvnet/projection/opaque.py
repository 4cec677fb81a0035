"""Operations that are not looked into keep the policy: activations inside them are ruled too."""

from __future__ import annotations

from collections.abc import Callable, MutableMapping
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from deconvnet.graph.inplace import asks_in_place
from deconvnet.graph.model_state import version_of
from deconvnet.graph.node import Node
from deconvnet.layers import Activation, MirroredLayer, Policies, UnmirroredError
from deconvnet.layers.policies import Gradient
from deconvnet.layers.table_of_activations import ACTIVATIONS

SEALED = (nn.RNNBase, nn.RNNCellBase, torch.jit.ScriptModule)  # nobody sees their activations

_TRIED: WeakKeyDictionary[Node, tuple[object, dict[Any, bool]]] = WeakKeyDictionary()


def samples_tried(node: Node, policies: Policies) -> MutableMapping[Any, bool]:
    """For which sizes it is known whether a node keeps samples apart (see ``local.Traced``).

    It is forgotten when a parameter of the module has changed.

    Args:
        node: of an operation that is not looked into.
        policies: they rule the activations inside.
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

    Args:
        call: values -> value, to be run under autograd.
        policies: they have the rules.
        module: the module that is called, if it is one.

    Raises:
        UnmirroredError: the policy has no rule for an activation inside, or no way to it.
    """
    if isinstance(policies.rectifier, Gradient):
        return call
    if isinstance(module, SEALED):
        _refuse(type(module).__name__, policies)

    def watched(*inputs: Any) -> Any:
        with _Ruling(policies):
            return call(*inputs)

    return watched


def _refuse(name: str, policies: Policies) -> None:
    rule = policies.rule(Activation(name, torch.tanh))
    if not isinstance(rule, Gradient):
        raise UnmirroredError(
            f"the policy '{policies.rectifier.name}' cannot be applied inside {name}; choose "
            "elsewhere='derivative', or another layer"
        )


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
        found = reader(*args, **kwargs) if reader is not None and signalled else None
        if found is None:
            return function(*args, **kwargs)
        layer, _ = found
        output = _Rule.apply(args[0], layer.under(self.policies))
        return args[0].copy_(output) if asks_in_place(function, args, kwargs) else output
