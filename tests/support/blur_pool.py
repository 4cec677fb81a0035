"""What a stranger adds: BlurPool (Zhang 2019) and its mirror, by ``layers/README.md`` alone."""

import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.layers import InputSize, Inside, MirroredLayer


class BlurPool(nn.Module):
    """A binomial filter in every channel, then every second cell."""

    def __init__(self, channels, border="constant"):
        super().__init__()
        line = torch.tensor([1.0, 2.0, 1.0])
        self.register_buffer("filters", (line[:, None] * line / 16).repeat(channels, 1, 1, 1))
        self.border = border

    def forward(self, x):
        padded = F.pad(x, (1, 1, 1, 1), self.border)
        return F.conv2d(padded, self.filters, stride=2, groups=len(self.filters))


class BlurPoolMirror(MirroredLayer):
    channelwise = True

    def __init__(self, module, padding=1):
        self.module, self.padding = module, padding

    def record(self, input):
        filters = self.module.filters
        padded = F.pad(input, (self.padding,) * 4, self.module.border) if self.padding else input
        return F.conv2d(padded, filters, stride=2, groups=len(filters)), InputSize(input.shape)

    def mirror(self, signal, record):
        with torch.enable_grad():
            zeros = torch.zeros(record.size, dtype=signal.dtype, requires_grad=True)
            return torch.autograd.grad(self.record(zeros)[0], zeros, signal)

    def window(self, window, record):
        batch, channel, *cells = window
        return ((batch, channel, *(c.sliding(3, 2, self.padding) for c in cells)),)

    def inside(self, record):
        bare = BlurPoolMirror(self.module, padding=0)
        return Inside(bare, 0.0) if self.module.border == "constant" else None

    def multiply_adds(self, size):
        return 9 * size[1:].numel()
