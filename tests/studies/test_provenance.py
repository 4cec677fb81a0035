"""The provenance of figures: models, choices and versions as text."""

import torch

import deconvnet
from deconvnet.studies.provenance import provenance_of


def test_provenance_says_how_a_figure_was_made():
    found = provenance_of(
        {"model": "net.py:make", "weights": "elsewhere/w.pth", "layer": "relu", "channels": 3}
    )
    assert found["model"] == "net.py:make"
    assert found["weights"] == "w.pth"  # the name: a path would tell of somebody's disk
    assert (found["layer"], found["channels"]) == ("relu", "3")
    assert (found["deconvnet"], found["torch"]) == (deconvnet.__version__, torch.__version__)
    assert all(isinstance(value, str) for value in found.values())
