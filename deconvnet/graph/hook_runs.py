"""What one run of a user's hook gave, to be given again where the same values come by.

While a graph is compared with its model, the model runs its hooks; the graph beside it gets what
they gave, values and derivative, so that they do not run a second time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import GradientEdge, Node, get_gradient_edge
from torch.utils import _pytree as pytree

_ROUNDED = 64  # units in the last place, of the greatest value, by which the same values may differ


class Entry:
    """What a hook is about to be given, as it is now."""

    def __init__(self, given: Any) -> None:
        self.leaves = pytree.tree_leaves(given)
        self.values = [x.clone() if isinstance(x, Tensor) else None for x in self.leaves]
        live = [isinstance(x, Tensor) and x.requires_grad for x in self.leaves]
        pairs = list(zip(self.leaves, live, strict=True))
        self.edges = [get_gradient_edge(x) if on else None for x, on in pairs]
        self.views = any(on and x._is_view() for x, on in pairs)
        self._versions = [_version(x) for x in self.leaves]
        self._first = _count()

    @property
    def written(self) -> list[int]:
        """Which of the leaves have been written into since, also where torch does not count it."""
        counted = [
            _version(x) != before for x, before in zip(self.leaves, self._versions, strict=True)
        ]
        pairs = enumerate(zip(self.leaves, self.values, strict=True))
        return [i for i, (x, before) in pairs if counted[i] or not unwritten(x, before)]

    def ran(self, result: Any) -> Ran | None:
        """The run, now that it is over; None for one that cannot be given again.

        That is one whose derivative does not come from its inputs alone, as those of hooks that
        hand values to each other, or that wrote into a view.
        """
        flat, layout = pytree.tree_flatten(result)
        places = {id(x): i for i, x in enumerate(self.leaves) if isinstance(x, Tensor)}
        made = [x for x in flat if isinstance(x, Tensor) and id(x) not in places]
        outputs = [x.clone() for x in (*made, *(self.leaves[i] for i in self.written))]
        reached = self._reached(outputs)
        if reached is None or (self.written and self.views):
            return None
        leaves = [places.get(id(x), None if isinstance(x, Tensor) else _Plain(x)) for x in flat]
        return Ran(self.values, self.edges, reached, outputs, self.written, leaves, layout)

    def _reached(self, outputs: Sequence[Tensor]) -> list[int] | None:
        """The inputs that outputs are made of, at most an argument and the module's output."""
        places = {(e.node, e.output_nr): i for i, e in enumerate(self.edges) if e is not None}
        ends = {node for node, _ in places}
        inputs = set[int]()
        open_ = [(x.grad_fn, 0) for x in outputs if x.grad_fn is not None]
        met = set(open_)
        while open_:
            node, number = open_.pop()
            if (node, number) in places:
                inputs.add(places[node, number])
                continue
            if node in ends or _made_before(node, self._first):
                return None
            below = [(one, i) for one, i in node.next_functions if one is not None]
            open_ += [edge for edge in below if edge not in met]
            met.update(below)
        last = len(self.leaves) - 1
        return sorted(inputs) if len(inputs) < 2 or (len(inputs) == 2 and last in inputs) else None


@dataclass(frozen=True, eq=False)
class Ran:
    """One run of a hook.

    Args:
        entered: the tensors that it was given, as they were; None for other values.
        edges: where a gradient by them goes on in the model's own graph of autograd.
        reached: which of them its outputs depend on.
        outputs: its tensors, those that it made and those that it wrote into, in that graph.
        written: which of what it was given it wrote into.
        leaves: what it gave back: the number of what it was given, None for the next of the
            outputs, or a plain value.
        layout: how these lie in their containers.
    """

    entered: Sequence[Tensor | None]
    edges: Sequence[GradientEdge | None]
    reached: Sequence[int]
    outputs: Sequence[Tensor]
    written: Sequence[int]
    leaves: Sequence[int | _Plain | None]
    layout: Any

    def again(self, given: Any) -> tuple[Any] | None:
        """What the hook gave, in a tuple, and what it wrote; None if it was given other values."""
        flat = pytree.tree_leaves(given)
        pairs = list(zip(self.entered, flat, strict=False))
        if len(flat) != len(self.entered) or not all(_same(*pair) for pair in pairs):
            return None
        made = iter(_Again.apply(self, *flat) if self.outputs else ())
        leaves = list(_filled(self.leaves, flat, made))
        for place, value in zip(self.written, made, strict=True):
            flat[place].copy_(value)
        return (pytree.tree_unflatten(leaves, self.layout),)

    def back(self, signals: Sequence[Tensor | None]) -> list[Tensor | None]:
        """What autograd sends to each of the leaves through the hook alone."""
        sent: list[Tensor | None] = [None] * len(self.entered)
        pairs = [
            (out, signal)
            for out, signal in zip(self.outputs, signals, strict=True)
            if signal is not None and out.requires_grad
        ]
        if not pairs or not self.reached:
            return sent
        outs, seeds = zip(*pairs, strict=True)
        back = _gradients(outs, [self.edges[i] for i in self.reached], seeds)
        for place, gradient in zip(self.reached, back, strict=True):
            sent[place] = gradient
        if len(self.reached) == 2:  # the output is made of the argument: that way is the module's
            argument, output = self.reached
            value, signal = self.entered[output], sent[output]
            if signal is not None and value is not None:
                (module,) = _gradients([value], [self.edges[argument]], [signal])
                both = sent[argument]
                sent[argument] = both if both is None or module is None else both - module
        return sent


@dataclass(frozen=True)
class _Plain:
    """A value that is no tensor."""

    value: Any


class _Again(torch.autograd.Function):
    """The outputs of a run as those of the same hook on other tensors of the same values."""

    @staticmethod
    def forward(ctx: Any, ran: Ran, *flat: Any) -> Any:
        ctx.ran = ran
        ctx.set_materialize_grads(False)
        made = tuple(out.detach().clone() for out in ran.outputs)
        pairs = zip(made, ran.outputs, strict=True)
        ctx.mark_non_differentiable(*(new for new, out in pairs if not out.requires_grad))
        return made

    @staticmethod
    def backward(ctx: Any, *signals: Any) -> Any:
        return None, *ctx.ran.back(signals)


def _filled(leaves: Sequence[Any], flat: Sequence[Any], made: Iterator[Tensor]) -> Iterator[Any]:
    for leaf in leaves:
        if isinstance(leaf, _Plain):
            yield leaf.value
        else:
            yield next(made) if leaf is None else flat[leaf]


def _gradients(outs: Any, edges: Any, seeds: Any) -> list[Tensor | None]:
    """Autograd's, with its graph kept for the next."""
    return list(torch.autograd.grad(outs, edges, seeds, retain_graph=True, allow_unused=True))


def _same(own: Tensor | None, given: Any) -> bool:
    """Whether a tensor has the same values up to rounding; values that are no tensors count so."""
    if own is None or not isinstance(given, Tensor):
        return own is None and not isinstance(given, Tensor)
    if own.shape != given.shape or own.dtype != given.dtype:
        return False
    if not own.is_floating_point() or not own.numel():
        return torch.equal(own, given)
    least = _ROUNDED * torch.finfo(own.dtype).eps * float(own.detach().abs().max())
    return torch.allclose(own, given, rtol=0, atol=least, equal_nan=True)


def unwritten(value: Any, before: Any) -> bool:
    """Whether a tensor has the values of a copy; others count so. ``data`` is written uncounted."""
    if not isinstance(value, Tensor) or value.layout != torch.strided or value.is_meta:
        return True
    now, before = value.detach(), before.detach()
    if now.shape != before.shape:
        return False
    return torch.equal(now, before) or bool(((now == before) | (before != before)).all())


def _version(value: Any) -> int:
    known = isinstance(value, Tensor) and not value.is_inference()
    return value._version if known else 0


def _count() -> int:
    """The number that the next step of autograd's graph will have, of those of this thread."""
    with torch.enable_grad():
        step = torch.zeros((), requires_grad=True).clone().grad_fn
    assert step is not None, "it has a derivative"
    return step._sequence_nr()


def _made_before(step: Node, first: int) -> bool:
    """Whether a step of autograd's graph that is no parameter's is older than this number."""
    number = getattr(step, "_sequence_nr", None)  # which steps in Python have not everywhere
    return bool(step.next_functions) and (number is None or number() < first)
