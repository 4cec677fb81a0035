"""Models that torch.fx cannot follow: python that looks at sizes, and some that look at values."""

import torch
import torch.nn.functional as F
from torch import nn

from tests.support.networks import fill


class Net(nn.Module):
    """Two convolutions with something in between that torch.fx cannot follow."""

    def __init__(self):
        super().__init__()
        self.one, self.two = nn.Conv2d(3, 6, 3, padding=1), nn.Conv2d(6, 4, 3)
        self.relu, self.pool = nn.ReLU(inplace=True), nn.MaxPool2d(3, 2)

    def between(self, x):
        raise NotImplementedError

    def forward(self, x):
        return F.relu(self.two(self.between(self.relu(self.one(x)))))


class BySize(Net):
    """Pools large maps only."""

    def between(self, x):
        return self.pool(x) if x.shape[2] > 8 else x


class ByChannel(Net):
    def between(self, x):
        return torch.stack([x[:, c] * (c + 1) for c in range(x.size(1))], dim=1)


class BySample(Net):
    """Asks how many images there are."""

    def between(self, x):
        return torch.cat([x[i : i + 1] * (i + 1.0) for i in range(len(x))])


class Iterating(Net):
    def between(self, x):
        return torch.cat([torch.relu(y - 0.1) for y in x.split(2, dim=1)], dim=1)


class Unpacking(Net):
    def between(self, x):
        batch, channels, *_ = x.shape
        return x.view(batch, 2, channels // 2, *x.shape[2:]).flatten(1, 2)


class Refining(Net):
    """Like RAFT: a state is refined by shared weights as often as the size asks for."""

    def __init__(self):
        super().__init__()
        self.cell = nn.Conv2d(6, 6, 3, padding=1)

    def between(self, x):
        for _ in range(max(1, x.shape[-1] // 6)):
            x = x + F.relu(self.cell(F.interpolate(x, size=x.shape[-2:], mode="nearest")))
        return F.avg_pool2d(x, 2)


class Writing(Net):
    def between(self, x):
        x[:, 0] = 0
        x[:, 1, ::2] *= 2
        x[:, 2:4] = x[:, :1] + x[:, 4:]
        x[:, 5][x[:, 1] > 0] = 0.5
        x[:, 4].masked_fill_(x[:, 2] > 1, 0.0)
        x[0, 3].zero_()
        return x


class ByCount(Net):
    """Treats a single image in another way."""

    def between(self, x):
        return -x if x.size(0) == 1 else x


class Deciding(Net):
    def between(self, x):
        if x.sum() > 0:  # the line that stops both
            return x
        return -x


class Counting(Net):
    def between(self, x):
        return x * int(x.max())


class Keeping(BySize):
    """Puts what it has computed into itself, to use it again."""

    def __init__(self):
        super().__init__()
        self.kept, self.seen, self.last = {}, [], None

    def between(self, x):
        if "ramp" not in self.kept:
            self.kept["ramp"] = torch.arange(1.0, 1.0 + x.shape[-1], dtype=x.dtype)
        self.seen.append(x)
        self.last = x
        return super().between(x * self.kept["ramp"])


HOSTILE = (BySize, ByChannel, BySample, Iterating, Unpacking, Refining, Writing)


def made(kind):
    model = kind().double()
    fill(model, torch.Generator().manual_seed(0))
    return model.eval()
