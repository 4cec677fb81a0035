"""A small network full of ties, its data set, and a miner that sorts every activation in Python."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.data import ImageError, Preprocessing

SIZE = (17, 14)
PREPARED = Preprocessing(SIZE, None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
K = 4


class Ties(nn.Module):
    """In-place and functional rectifiers, a residual, signed zeros, two fully connected layers."""

    def __init__(self, *, quantised: bool = True, seed: int = 0) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 6, 3, stride=2, padding=1)
        self.relu1 = nn.ReLU(inplace=True)
        self.pool = nn.MaxPool2d(3, stride=2)
        self.conv2 = nn.Conv2d(6, 5, 2)
        self.conv3 = nn.Conv2d(5, 5, 3, padding=1)
        self.relu3 = nn.ReLU(inplace=True)
        self.norm = nn.BatchNorm2d(5)
        self.fc1 = nn.Linear(5 * 3 * 2, 7)
        self.drop = nn.Dropout()
        self.fc2 = nn.Linear(7, 3)
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.normal_(generator=generator)
                if quantised:
                    parameter.copy_((2 * parameter).round() / 2)
            self.norm.weight.fill_(1.0)
            self.norm.eps, self.norm.running_var = 0.0, torch.ones(5)
            self.conv1.weight[0], self.conv1.bias[0] = 0.0, 0.0  # dead, every place ties
            self.conv1.bias[1] = -100.0  # negative everywhere
            self.conv2.bias[0] = -1000.0

    def forward(self, x):
        x = self.pool(self.relu1(self.conv1(x)))
        z = self.conv2(x)
        y = F.relu(z)
        y = y * (z + 9)  # 0 times a negative number is -0.0
        out = self.norm(self.conv3(y))
        out += y
        y = self.relu3(out)
        y = F.relu(self.fc1(y.flatten(1)), inplace=True)
        return self.fc2(self.drop(y))

    def values(self, x):
        """What stands at every node, by plain functions, nothing in place."""
        v = {}
        v["conv1"] = F.conv2d(x, self.conv1.weight, self.conv1.bias, 2, 1)
        v["relu1"] = v["conv1"].clamp(min=0)
        v["pool"] = F.max_pool2d(v["relu1"], 3, 2)
        v["conv2"] = F.conv2d(v["pool"], self.conv2.weight, self.conv2.bias)
        v["relu"] = v["conv2"].clamp(min=0)
        v["add"] = v["conv2"] + 9
        v["mul"] = v["relu"] * v["add"]
        v["conv3"] = F.conv2d(v["mul"], self.conv3.weight, self.conv3.bias, 1, 1)
        shift = self.norm.bias.view(1, -1, 1, 1)
        v["add_1"] = v["conv3"] + shift + v["mul"]
        v["relu3"] = v["add_1"].clamp(min=0)
        v["fc1"] = F.linear(v["relu3"].flatten(1), self.fc1.weight, self.fc1.bias)
        v["relu_1"] = v["fc1"].clamp(min=0)
        v["fc2"] = F.linear(v["relu_1"], self.fc2.weight, self.fc2.bias)
        return v


# Windows on the way from the images: (kernel, stride, padding); the residual sees less.
CONV1, POOL, CONV2, CONV3 = (3, 2, 1), (3, 2, 0), (2, 1, 0), (3, 1, 1)
WINDOWS = {
    **dict.fromkeys(("conv1", "relu1"), (CONV1,)),
    "pool": (CONV1, POOL),
    **dict.fromkeys(("conv2", "relu", "add", "mul"), (CONV1, POOL, CONV2)),
    **dict.fromkeys(("conv3", "add_1", "relu3"), (CONV1, POOL, CONV2, CONV3)),
}


def box(layer, row, col):
    """Top, left, bottom, right of what a unit sees, one window after the other."""
    ends = [seen(WINDOWS[layer], place, n) for place, n in zip((row, col), SIZE, strict=True)]
    (top, bottom), (left, right) = ends
    return (top, left, bottom, right)


def seen(windows, place, length):
    """First and one past the last pixel of an axis; no further than each layer reaches."""
    lengths = [length]
    for kernel, stride, padding in windows:
        lengths.append((lengths[-1] + 2 * padding - kernel) // stride + 1)
    first, last = place, place
    for (kernel, stride, padding), below in zip(reversed(windows), lengths[-2::-1], strict=True):
        first = max(0, first * stride - padding)
        last = min(below - 1, last * stride - padding + kernel - 1)
    return first, last + 1


def pictures(count=11, *, seed=0, nan=True):
    """Few values; images 2, 5 and 9 are the same one, and image 3 has pixels that are NaN."""
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(-2, 3, (count, 3, *SIZE), generator=generator) / 2
    images[5::4] = images[2]
    if nan:
        images[3, 0, 4:6, 4] = math.nan
    return images


class Pictures:
    """A data set of tensors, some of which cannot be read."""

    def __init__(self, images, *, broken=()):
        self.images, self.broken = images, broken

    def __len__(self):
        return len(self.images)

    def __getitem__(self, index):
        if index in self.broken:
            raise ImageError(f"'{index}.jpg' cannot be used: it is broken")
        return self.images[index]

    def path(self, index):
        return f"{index}.jpg"


class Prepared(Pictures):
    """Tells how its images were prepared."""

    preprocessing = PREPARED


def slow(values, k=K, *, images=None, place=lambda value, position: (-value, position), ties=1):
    """The k strongest of each channel, [(activation, image, row, col)], from all activations."""
    names = range(len(values)) if images is None else images
    table = []
    for channel in range(values.shape[1]):
        entries = []
        for name, one in zip(names, values[:, channel], strict=True):
            mapped = one.ndim > 0
            width = one.shape[-1] if mapped else 1
            every = [(v, p) for p, v in enumerate(one.flatten().tolist()) if not math.isnan(v)]
            every.sort(key=lambda e: place(*e))
            for value, position in every[:1]:
                row, col = divmod(position, width) if mapped else (-1, -1)
                entries.append((value + 0.0, name, row, col))
        entries.sort(key=lambda entry: (-entry[0], ties * entry[1]))
        table.append(entries[:k])
    return table


def rows(table):
    """A layer's table like that of ``slow``; an empty slot must be empty in every column."""
    columns = [c.tolist() for c in (table.activation, table.image, table.row, table.col)]
    found = []
    for channel in zip(*columns, strict=True):
        entries = list(zip(*channel, strict=True))
        full = [entry for entry in entries if entry[1] >= 0]
        assert all(math.isnan(e[0]) and e[1:] == (-1, -1, -1) for e in entries[len(full) :])
        found.append(full)
    return found
