"""Models whose weights are drawn anew, and a look at their memory."""

import torch
from torch import nn
from torch.nn import functional as F


class Backwards(nn.Module):
    """Layers are made from the top down, and one has its weights in the model itself."""

    def __init__(self):
        torch.manual_seed(0)
        super().__init__()
        self.top = nn.Linear(6, 3)
        self.norm = nn.BatchNorm2d(6)
        self.middle = nn.Conv2d(6, 6, 3, padding=1)
        self.second = nn.Conv2d(6, 6, 3, padding=1)
        self.kernel = nn.Parameter(torch.randn(6, 3, 3, 3))
        self.shift = nn.Parameter(torch.randn(6))
        self.norm.running_var.uniform_(0.5, 2)

    def forward(self, x):
        x = F.relu(F.conv2d(x, self.kernel, self.shift))
        x = self.norm(self.middle(self.second(x)))
        return self.top(F.relu(x).mean((2, 3)))


def bits(model):
    return {name: value.numpy().tobytes() for name, value in model.state_dict().items()}
