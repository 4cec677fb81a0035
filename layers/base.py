"""The contract of a mirrored layer: record, mirror, window."""

from __future__ import annotations

import inspect
import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from deconvnet.arguments import Brief

from .crop import Crop

if TYPE_CHECKING:
    from .policies import Policies

# A signal is a tensor, None where nothing arrives, or a container of these where a layer's
# output is one (``torch.chunk`` gives a tuple).
Signal = Any
Windows = Any
Cost = Callable[[torch.Size], int] | None


def no_filters(size: torch.Size) -> int:
    """The cost of a layer without filters."""
    return 0


def first_sentence(documented: Any) -> str:
    """The first sentence of a docstring in plain text, to be read after a colon."""
    told = " ".join((inspect.getdoc(documented) or "").partition(".")[0].replace("``", "").split())
    return told[:1].lower() + told[1:] if told[1:2].islower() else told


@dataclass(frozen=True, eq=False)
class Record(Brief):
    """What a layer remembers of one forward pass.

    Every tensor and every ``torch.Size`` in a field carries the batch on its first axis, unless
    the subclass says otherwise in ``take``.
    """

    @property
    def per_sample(self) -> bool:
        """True if sample ``i`` of the output depends on sample ``i`` of the inputs alone.

        Then a signal for unit ``u`` of image ``i`` may travel through row ``i`` of the record,
        and one recording serves any number of units.
        """
        return True

    @property
    def apart(self) -> bool:
        """True if a signal for sample ``i`` comes back to sample ``i`` alone.

        Then ``take`` holds. It is so where ``per_sample`` holds; an operation of which nothing
        is known has to be tried (see ``local.Traced``).
        """
        return self.per_sample

    @property
    def shared(self) -> tuple[bool, ...]:
        """For each input, True if all samples share it; empty where none can be.

        A signal must not go there: of an input that once had a batch, the samples are mixed.
        """
        return ()

    @property
    def silent(self) -> bool:
        """True if no signal can come back at all: the operation stops gradients."""
        return False

    @property
    def written(self) -> tuple[int, ...]:
        """The numbers of the inputs that the operation wrote into."""
        return ()

    @property
    def graph(self) -> tuple[Tensor | None, ...]:
        """The outputs with the graph that autograd made, where the mirror goes back through it."""
        return ()

    @property
    def roots(self) -> tuple[Any, ...]:
        """The inputs of this graph, as autograd's leaves."""
        return ()

    def alone(self, output: Any) -> tuple[Tensor, Record] | None:
        """The one tensor of an output that carries a signal, and the record of it alone.

        None if several do, or where no ``graph`` is kept.
        """
        return None

    @property
    def in_words(self) -> str:
        """What is remembered, for a reader: by default the class's name, "input size"."""
        return re.sub(r"(?<!^)(?=[A-Z])", " ", type(self).__name__).lower()

    def take(self, index: Tensor) -> Record:
        """The same record for the samples ``index`` (repeats allowed), in this order.

        Args:
            index: (units,) sample numbers.
        """
        taken = {f.name: take(getattr(self, f.name), index) for f in fields(self)}
        return replace(self, **taken)

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Record:
        """The record that the layer would have made of crops of its maps, one for each unit.

        Only asked of records of layers that run on crops (see ``MirroredLayer.inside``).

        Args:
            output: the crops of the layer's output; none of them leaves its maps.
            inputs: what ``window`` says that these see of each input.
        """
        raise NotImplementedError(
            f"{type(self).__name__} cannot be cut into crops: write within(), or let inside() "
            "of its layer return None"
        )


def take(kept: Any, index: Tensor) -> Any:
    """Rows ``index`` of a tensor, that many rows of a size, each of a tuple; else unchanged."""
    if isinstance(kept, Tensor):
        index = index.to(kept.device)
        # of images index_select changes the layout, which is slow
        return kept[index] if kept.ndim == 4 else kept.index_select(0, index)
    if isinstance(kept, torch.Size):
        return torch.Size((len(index), *kept[1:]))
    if isinstance(kept, tuple):
        return tuple(take(part, index) for part in kept)
    return kept


@dataclass(frozen=True, eq=False)
class Nothing(Record):
    """The record of a layer that remembers nothing."""

    def within(self, output: Crop, inputs: Sequence[Crop]) -> Nothing:
        """Nothing to cut."""
        return self


@dataclass(frozen=True, eq=False)
class InputSize(Record):
    """The record of a layer whose mirror needs only the size of its input."""

    size: torch.Size

    def within(self, output: Crop, inputs: Sequence[Crop]) -> InputSize:
        """The size of the crops."""
        return InputSize(inputs[0].sized(self.size))


@dataclass(frozen=True, eq=False)
class Inside(Brief):
    """The layer without padding, run on crops that include their halo.

    Args:
        layer: the layer without padding of its own.
        outside: the value of a crop's cells outside of the map: that of the padding. None where
            it makes no difference: in layers without padding.
    """

    layer: MirroredLayer
    outside: float | None = None


class MirroredLayer(Brief, ABC):
    """One operation of a network: run it forward, carry a signal back, say which inputs it sees.

    A layer keeps no state: what its mirror needs travels in the record, so that one network can
    hold many recordings. ``layers/README.md`` says how to add a layer of your own;
    ``deconvnet.testing.check_layer`` checks it.
    """

    mined: bool = False
    """Whether ``deconvnet.mine`` takes this layer's maps unless layers are named."""

    channel_axis: int = 1
    """The axis of the output that counts its channels."""

    channelwise: bool = False
    """Whether channel ``c`` of the output depends on channel ``c`` of the input alone."""

    rectifies: bool = False
    """Whether it is 0 wherever its input is below 0, and never negative, as a ReLU."""

    selects: bool = False
    """Whether each value of a channel is one of that channel's inputs, as of a max pooling."""

    activation_name: str | None = None
    """Of a layer that a rectifier rules, the name of the function: "ReLU"."""

    @abstractmethod
    def record(self, *inputs: Any) -> tuple[Any, Record]:
        """Run forward.

        Returns:
            The output and what the mirror will need. The inputs are never changed.
        """

    @abstractmethod
    def mirror(self, signal: Signal, record: Any) -> tuple[Signal, ...]:
        """Carry a signal back: shaped like the output on arrival, one a tensor input on leaving.

        Linear layers give the exact adjoint of what ``record`` did; other layers the adjoint of
        their derivative at the recorded inputs (the vector-Jacobian product).
        """

    def reused(self, record: Any, policies: Policies) -> tuple[MirroredLayer, Any] | None:
        """This layer and a record of it under other policies, with nothing run again.

        None if that cannot be: the record does not hold what they need, or nothing is known of a
        layer that the policies may change.

        Raises:
            UnmirroredError: the policies have no rule for it.
        """
        alike = type(self).under is MirroredLayer.under
        return (self, record) if alike else None

    @property
    def mirror_in_words(self) -> str:
        """What the mirror does, for a reader: by default the first sentence that documents it."""
        return first_sentence(type(self).mirror) or type(self).__name__

    @abstractmethod
    def window(self, window: Windows, record: Any) -> tuple[Windows, ...]:
        """The window of each input that a window of the output sees, not clipped to its size.

        It may depend on sizes, never on values: receptive fields are found once for all images.
        """

    def inside(self, record: Any) -> Inside | None:
        """This layer on crops of its maps, so that a unit costs no more than what it sees.

        Args:
            record: of the whole maps.

        Returns:
            How to run it on exactly what ``window`` asks for; None (the default) for layers that
            need whole maps: they see everything, or treat borders unlike all other places.
        """
        return None

    def under(self, policies: Policies) -> MirroredLayer:
        """This layer with the policies applied; by default they change nothing.

        Raises:
            UnmirroredError: the policies have no rule for it.
        """
        return self

    def multiply_adds(self, size: torch.Size) -> int | None:
        """Multiply-adds of one sample, forward; the mirror is taken to need as many.

        They decide whether units are projected one by one on crops or on shared whole images.
        Only filters are counted: layers without any give 0.

        Args:
            size: (batch, channels, ...) of the output, on whole maps or on crops.

        Returns:
            None (the default) for unknown: the layer is left out of the sum, and named in
            ``Route.uncounted``.
        """
        return None

    @property
    def filters(self) -> tuple[Tensor, tuple[int, ...]] | None:
        """A convolution's filters (channels_out, channels_in / groups, *kernel), and stride."""
        return None

    def mirror_channel(self, signal: Signal, channels: Tensor, record: Any) -> tuple[Signal, ...]:
        """``mirror`` of a signal that is zero but in one channel, where that saves work.

        Args:
            signal: (batch, channels, ...).
            channels: (batch,) the channel of each.
            record: as for ``mirror``.
        """
        return self.mirror(signal, record)


class WithoutFilters(MirroredLayer):
    """A layer whose cost is nothing beside that of filters."""

    def multiply_adds(self, size: torch.Size) -> int:
        """None is counted."""
        return 0


class SamePlaces(WithoutFilters):
    """A layer whose output at a place depends on the input at that place alone."""

    def window(self, window: Windows, record: Any) -> tuple[Windows, ...]:
        """The same places."""
        return (window,)

    def inside(self, record: Any) -> Inside | None:
        """The layer itself."""
        return Inside(self)
