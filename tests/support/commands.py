"""For the tests of the command line: what a command says, and small files to say it about."""

from __future__ import annotations

from deconvnet import zoo
from deconvnet.cli.main import main

PARTS = ((40, 60), (120, 200), (100, 100), (20, 250), (180, 40))  # rows, columns of a cat
NETS = """
import torch
from torch import nn

def gelu():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 5, stride=4), nn.GELU(), nn.Conv2d(4, 2, 3))

def branching():
    class Net(nn.Module):
        def forward(self, x):
            if x.sum() > 0:
                return x
            return -x
    return Net()

def fails():
    raise RuntimeError("first line\\nsecond line")

def photographs():
    return [torch.zeros(3, 96, 96)] * 3
"""


def said(capfd, *arguments: object) -> tuple[int, str, str]:
    """Exit code, standard output and standard error of a command."""
    capfd.readouterr()
    try:
        code = main([str(argument) for argument in arguments])
    except SystemExit as stop:  # argparse
        code = int(stop.code or 0)
    return code, *capfd.readouterr()


def make_files(folder):
    """A folder with photographs of a cat, a broken one elsewhere, and a file of models."""
    cat = zoo.photograph("chelsea")
    (folder / "photos").mkdir()
    for number, (top, left) in enumerate(PARTS):
        part = cat.crop((left, top, left + 110, top + 100))
        part.save(folder / "photos" / f"cat{number}.png")
    (folder / "torn.jpg").write_bytes(b"\xff\xd8\xff\xe0 and nothing more")
    (folder / "nets.py").write_text(NETS)
    return folder
