"""Wrong graphs, planted: a node dropped, a weight stale, a branch taken otherwise."""

from contextlib import contextmanager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import nn

from deconvnet.graph import export, frontends, graph
from tests.support.networks import noise

IMAGES = noise(3, 3, 12, 12)


class Model(nn.Module):
    """Two convolutions whose values meet again; ``flip`` is python's to branch on."""

    def __init__(self, *, flip=False):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3, padding=1), nn.Conv2d(4, 4, 3, padding=1)
        self.norm, self.flip, self.calls = nn.BatchNorm2d(4), flip, 0

    def forward(self, x):
        self.calls += 1
        x = F.relu(self.one(x))
        x = x + self.norm(self.two(x))
        return -x if self.flip else F.relu(x - 0.1)


class ForExport(Model):
    """The same; torch.fx cannot follow it."""

    def forward(self, x):
        return super().forward(x) if len(x) < 99 else x


def made(kind=Model, **settings):
    return kind(**settings).double().eval()


def dropped(read, name="relu"):
    """A node is left out: who read it reads what it read."""
    (source,) = read.nodes[name].call.all_input_nodes
    read.nodes[name].call.replace_all_uses_with(source)
    model, names, nodes = read.model, read.names, dict(read.nodes)
    for each, node in nodes.items():
        nodes[each] = replace(node, sources=tuple(names[n] for n in node.call.all_input_nodes))
    end = next(iter(read.names)).graph.output_node()
    return graph.Graph(
        model, nodes, names=names, returned=read.returned, constants=read.constants,
        output=end.args[0], reader=read.reader, batch=read.batch,
    )  # fmt: skip


def stale(read):
    """A module has another weight than the model's has now."""
    node = read.nodes["two"]
    old = nn.Conv2d(4, 4, 3, padding=1).double()
    old.load_state_dict(node.module.state_dict())
    old.weight.data[1] *= 1.05
    target = node.call.target
    nodes = {**read.nodes, "two": replace(node, module=old)}
    assert target == "two"
    return graph.Graph(
        read.model, nodes, names=read.names, returned=read.returned, constants=read.constants,
        output=read.output, reader=read.reader, batch=read.batch,
    )  # fmt: skip


@contextmanager
def branched(model):
    """The model is read as if a setting were another."""
    model.flip = not model.flip
    yield
    model.flip = not model.flip


def planted(monkeypatch, wrong, ways):
    """Let these ways of reading a model read it wrongly."""
    read = {"trace": graph.trace, "export": export.export}
    for way in ways:

        def reading(model, *args, way=way):
            if wrong is not branched:
                return wrong(read[way](model, *args))
            with branched(model):
                return read[way](model, *args)

        monkeypatch.setattr(frontends, way, reading)


WRONG = {
    "a node dropped": (dropped, "two"),
    "a weight stale": (stale, "two"),
    "a branch taken otherwise": (branched, "the model's output"),
}
