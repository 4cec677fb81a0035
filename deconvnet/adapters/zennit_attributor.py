"""zennit: maps as one of its attributors (Anders 2021)."""

from __future__ import annotations

from collections.abc import Callable

from torch import Tensor, nn
from zennit.attribution import Gradient

from deconvnet.layers import Rectifier
from deconvnet.net import DeconvNet
from deconvnet.studies.given import net_of

from .signals import signal_of


class ZennitAttributor(Gradient):
    """zennit's ``Gradient`` under a rule that reaches every activation, not only modules.

    It is called, with an output attribution or without, and used in a ``with`` statement as
    zennit's own; it returns the output and the map. ``class Smooth(ZennitAttributor, SmoothGrad)``
    is zennit's ``SmoothGrad`` of these maps.

    Args:
        model: or a DeconvNet, whose rule is then the default.
        rectifier: as for ``DeconvNet``, in place of zennit's composite; "deconvnet" by default.
        attr_output: (batch, classes) where the signal starts, or a function that makes it of the
            output; by default the output itself.

    Examples:
        >>> import torch
        >>> model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
        >>> with ZennitAttributor(model, "guided") as attributor:
        ...     output, maps = attributor(torch.rand(2, 1, 8, 8), torch.eye(10)[[3, 7]])
        >>> output.shape, maps.shape
        (torch.Size([2, 10]), torch.Size([2, 1, 8, 8]))
    """

    def __init__(
        self,
        model: nn.Module | DeconvNet,
        rectifier: str | Rectifier | None = None,
        attr_output: Tensor | Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        self.net = net_of(model, rectifier)
        super().__init__(self.net.model, attr_output=attr_output)

    def grad(
        self, input: Tensor, attr_output_fn: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, Tensor]:
        """The output (batch, classes), and the signal at the images, shaped like these."""
        return signal_of(self.net, input, attr_output_fn)
