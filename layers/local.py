"""Any other differentiable operation, mirrored by the graph that autograd keeps of its run.

Units of different samples share a backward pass where the operation keeps samples apart.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import combinations, count, islice
from math import comb
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from .base import MirroredLayer, Record, Signal
from .functional import leaf
from .window import whole

if TYPE_CHECKING:
    from .policies import Policies

Signals = Sequence[Tensor | None]


@dataclass(frozen=True, eq=False)
class Traced(Record):
    """A forward pass with the graph that autograd made of it.

    Args:
        leaves: the inputs, as autograd's leaves; None for anything but a float tensor.
        outputs: the tensors of the output, flattened; None where a tensor carries no signal.
        layout: how the outputs lie in the output's containers.
        written: which inputs the operation wrote into.
        tried: {sizes and types: whether samples stay apart}, to be filled; of a node's passes.
    """

    leaves: tuple[Any, ...]
    outputs: tuple[Tensor | None, ...]
    layout: pytree.TreeSpec
    written: tuple[int, ...] = ()
    tried: MutableMapping[Any, bool] = field(default_factory=dict)
    per_sample = False  # nothing is known of the operation: it may mix the samples of a batch

    @property
    def in_words(self) -> str:
        """What it is."""
        return "graph of autograd"

    @cached_property
    def apart(self) -> bool:
        """Whether they stay apart in the graph that was kept, tried once for each size."""
        there = [x for x in (*self.wanted, *self.outputs) if x is not None]
        alike = tuple((x.shape, x.dtype, x.device) for x in there)
        if alike not in self.tried:
            self.tried[alike] = stay_apart(self)
        return self.tried[alike]

    def alone(self, output: Any) -> tuple[Tensor, Traced] | None:
        """The one tensor of the output that carries a signal, and the same graph of it."""
        pairs = zip(pytree.tree_leaves(output), self.outputs, strict=True)
        live = [(value, kept) for value, kept in pairs if kept is not None]
        if len(live) != 1:
            return None
        return live[0][0], replace(self, outputs=(live[0][1],), layout=pytree.tree_structure(0))

    def take(self, index: Tensor) -> Packed:
        """The same graph, for signals of some samples; where they stay ``apart``."""
        return Packed(self, index)

    @cached_property
    def wanted(self) -> list[Tensor]:
        """The leaves that a signal can go to."""
        flat = pytree.tree_leaves(self.leaves)
        return [x for x in flat if isinstance(x, Tensor) and x.requires_grad]

    def back(self, signals: Signals) -> list[Tensor | None]:
        """What autograd sends to ``wanted`` for a signal at each output; None for nothing."""
        pairs = [
            (out, signal)
            for out, signal in zip(self.outputs, signals, strict=True)
            if out is not None and signal is not None
        ]
        if not pairs or not self.wanted:
            return [None] * len(self.wanted)
        outs, seeds = zip(*pairs, strict=True)
        return list(
            torch.autograd.grad(outs, self.wanted, seeds, retain_graph=True, allow_unused=True)
        )

    @property
    def graph(self) -> tuple[Tensor | None, ...]:
        """The outputs."""
        return self.outputs

    @property
    def roots(self) -> tuple[Any, ...]:
        """The inputs, as leaves."""
        return self.leaves

    @property
    def silent(self) -> bool:
        """True if no output can carry a signal: the operation stops gradients."""
        return all(output is None for output in self.outputs)


@dataclass(frozen=True, eq=False)
class Packed(Record):
    """Units of a forward pass that keeps the samples of its batch apart.

    Args:
        whole: the pass, of the whole batch.
        rows: (units,) the sample of each unit.
    """

    whole: Traced
    rows: Tensor

    def take(self, index: Tensor) -> Packed:
        """Some of these units."""
        return Packed(self.whole, self.rows[index.to(self.rows.device)])

    def back(self, signals: Signals) -> list[Tensor | None]:
        """The same for signals of units, (units, ...) each; a pass for each round of them."""
        rows, samples = self.rows.tolist(), len(self.whole.wanted[0])
        turns = rounds(rows)
        order = torch.tensor([unit for turn in turns for unit in turn]).argsort()
        parts = []
        for turn in turns:
            at = [rows[unit] for unit in turn]
            spread = [None if s is None else _spread(s[turn], at, samples) for s in signals]
            parts.append([None if part is None else part[at] for part in self.whole.back(spread)])
        return [_together(column, order) for column in zip(*parts, strict=True)]


@dataclass(frozen=True, eq=False)
class Local(MirroredLayer):
    """An operation that runs under autograd, and of which nothing else is known.

    It is run under autograd and the graph of this one step is kept, so that the mirror is exact
    even for random operations; the samples of a batch are not told apart. It is given copies: it
    may write into its inputs, or into views of them, where nobody sees it.

    Args:
        function: values (tensors, or containers of tensors) -> value.
        tried: see ``Traced``.
    """

    function: Callable[..., Any]
    tried: MutableMapping[Any, bool] = field(default_factory=dict)

    def record(self, *inputs: Any) -> tuple[Any, Traced]:
        """Run the operation under autograd; float tensors of the inputs become leaves."""
        leaves = pytree.tree_map(leaf, inputs)
        with torch.enable_grad():
            # laid out as usual: an unknown operation may look at the values as lying in a row
            given = pytree.tree_map_only(
                Tensor, lambda x: x.clone(memory_format=torch.contiguous_format), leaves
            )
            fresh = [_writes(one) for one in given]
            output = self.function(*given)
        written = tuple(i for i, one in enumerate(given) if _writes(one) != fresh[i])
        flat, layout = pytree.tree_flatten(output)
        kept = tuple(o if isinstance(o, Tensor) and o.requires_grad else None for o in flat)
        plain = [o.detach() if isinstance(o, Tensor) else o for o in flat]
        traced = Traced(leaves, kept, layout, written, self.tried)
        return pytree.tree_unflatten(plain, layout), traced

    def mirror(self, signal: Signal, record: Traced | Packed) -> tuple[Signal, ...]:
        """The vector-Jacobian product of the kept graph."""
        kept = record.whole if isinstance(record, Packed) else record
        bare = kept.layout.num_leaves == 1 and isinstance(signal, Tensor)
        sent = iter(record.back([signal] if bare else _flattened(signal, kept.layout)))
        flat, layout = pytree.tree_flatten(kept.leaves)
        back = [next(sent) if isinstance(x, Tensor) and x.requires_grad else None for x in flat]
        return tuple(pytree.tree_unflatten(back, layout))

    def reused(self, record: Any, policies: Policies) -> None:
        """Not: activations inside of it were run under the policies of the recording."""

    def window(self, window: Any, record: Traced) -> tuple[Any, ...]:
        """Everything."""
        return tuple(
            pytree.tree_map(lambda x: whole(x.ndim) if isinstance(x, Tensor) else None, one)
            for one in record.leaves
        )


def _writes(value: Any) -> int:
    """How often the tensors of an input, or views of them, were written into: torch counts."""
    return sum(x._version for x in pytree.tree_leaves(value) if isinstance(x, Tensor))


def _flattened(signal: Signal, layout: pytree.TreeSpec) -> list[Any]:
    """The signals in the order of the outputs, with None where nothing arrives."""
    if signal is None:
        return [None] * layout.num_leaves
    if layout.is_leaf():
        return [signal]
    parts = signal.values() if isinstance(signal, dict) else signal
    below = layout.children() if hasattr(layout, "children") else layout.children_specs
    pairs = zip(parts, below, strict=True)
    return [leaf for part, one in pairs for leaf in _flattened(part, one)]


def rounds(rows: Sequence[int]) -> list[list[int]]:
    """Units in rounds, by the sample of each unit; in a round each sample has one unit at most."""
    turns: list[list[int]] = []
    met: Counter[int] = Counter()
    for unit, row in enumerate(rows):
        if met[row] == len(turns):
            turns.append([])
        turns[met[row]].append(unit)
        met[row] += 1
    return turns


def stay_apart(traced: Traced) -> bool:
    """Whether a signal of some samples comes back to these alone.

    Random signals of some samples are sent down the kept graph, which is what all units of the
    recording will use, and nothing is run again.
    """
    there = [*traced.wanted, *(out for out in traced.outputs if out is not None)]
    if not traced.wanted or len({x.shape[:1] for x in there}) > 1 or not there[0].ndim:
        return False
    generator = torch.Generator().manual_seed(0)
    return all(_alone(traced, rows, generator) for rows in separating(len(there[0])))


def separating(samples: int) -> Iterator[list[int]]:
    """Few groups of samples, such that of any two each is once in a group without the other."""
    if samples < 2:
        return
    groups = next(n for n in count(2) if comb(n, n // 2) >= samples)
    members = list(islice(combinations(range(groups), groups // 2), samples))
    for group in range(groups):
        yield [sample for sample, own in enumerate(members) if group in own]


def _alone(traced: Traced, rows: list[int], generator: torch.Generator) -> bool:
    """Whether the other samples get what they get where there is no signal at all."""

    def drawn(out: Tensor) -> Tensor:
        return _spread(torch.randn(out[rows].shape, generator=generator).to(out), rows, len(out))

    seeds = [None if out is None else drawn(out) for out in traced.outputs]
    nothing = [None if out is None else torch.zeros_like(out) for out in traced.outputs]
    for sent, without in zip(traced.back(seeds), traced.back(nothing), strict=True):
        if sent is None or without is None:
            continue
        others = torch.ones(len(sent), dtype=torch.bool)
        others[rows] = False  # NaN may come of a sample's own values, signal or not
        if not torch.allclose(sent[others], without[others], rtol=0, atol=0, equal_nan=True):
            return False
    return True


def _spread(signal: Tensor, rows: list[int], samples: int) -> Tensor:
    """Signals of some samples among zeros."""
    among = signal.new_zeros((samples, *signal.shape[1:]))
    among[rows] = signal
    return among


def _together(parts: Sequence[Tensor | None], order: Tensor) -> Tensor | None:
    there = [part for part in parts if part is not None]
    return torch.cat(there)[order.to(there[0].device)] if there else None
