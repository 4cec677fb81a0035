"""The record of a forward pass, from which signals are carried backward."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from torch import Tensor

from deconvnet.arguments import brief, counted, cut
from deconvnet.layers import Policies, Switches, UnmirroredError

from .geometry import Geometry, Step


@dataclass(frozen=True, eq=False)
class Recording(Geometry):
    """The record of a forward pass of a batch of images: their geometry, and values.

    Args:
        input: name of the node that is the images.
        steps: the nodes that carry a signal, in forward order, with what their mirrors need.
        sizes, dtypes: as of a geometry.
        activations: {layer: (batch, channels, ...)} the values of the recorded layers.
        policies: under which it was made; they decided what is remembered.
        empty: a number of the images' type, on their device.
        blocks: the nodes that read what carries a signal and give tensors that carry none.
        source: the graphs of the model it was made of; None likewise.
        weights: which parameters and buffers it was made with (``model_state.weights_of``); empty
            for recordings that live no longer than a call.
        hooks: the model's then, and which may change values (``observed_hooks.hooks_in``).
    """

    activations: dict[str, Tensor]
    policies: Policies
    empty: Tensor
    blocks: tuple[str, ...] = ()
    source: object = None
    weights: tuple[tuple[str, object], ...] = ()
    hooks: Mapping[tuple[str, int], bool] = field(default_factory=dict)

    def __repr__(self) -> str:
        kept = [f"{layer} {tuple(map(int, a.shape))}" for layer, a in self.activations.items()]
        layers = cut(", ".join(kept), 300)
        switches = f"switches of {counted(len(self.switches), 'pooling')}"
        return brief(
            "Recording", self._said, f"layers {layers}", switches, cut(str(self.policies), 200)
        )

    @property
    def switches(self) -> dict[str, Switches]:
        """{node: switches} of every max pooling."""
        return {s.node: s.record for s in self.steps if isinstance(s.record, Switches)}

    def under(self, policies: Policies) -> Recording:
        """The same forward pass under other policies, which remember no more than was kept.

        Raises:
            UnmirroredError: an activation has no rule under them.
            ValueError: they need what was not kept.
        """
        if policies is self.policies:
            return self
        steps = tuple(self._reused(step, policies) for step in self.steps)
        return replace(self, steps=steps, policies=policies)

    def _reused(self, step: Step, policies: Policies) -> Step:
        try:
            made = step.layer.reused(step.record, policies)
        except UnmirroredError as error:
            raise UnmirroredError(f"at {step.name}: {error}") from None
        if made is None:
            raise ValueError(
                f"this recording was made under '{self.policies}', which does not keep at "
                f"{step.name} what '{policies}' needs; record the images under the latter (what "
                "gradient keeps also serves guided, deconvnet and identity)"
            )
        return replace(step, layer=made[0], record=made[1])

    def __getitem__(self, layer: str) -> Tensor:
        """The activations of a recorded layer, (batch, channels, ...)."""
        if layer not in self.activations:
            names = ", ".join(self.activations)
            raise KeyError(f"{layer!r} was not recorded; this recording holds {names}")
        return self.activations[layer]
