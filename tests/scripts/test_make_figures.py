"""The figure of a training: from the checkpoints of the trainer, and it says what they are."""

import sys

import pytest
import torch

from deconvnet import zoo
from deconvnet.figures import read_provenance
from deconvnet.zoo.embedded_weights import save_weights
from deconvnet.zoo.zfnet_mini_network import ZFNetMini
from scripts import make_figures


@pytest.fixture
def checkpoints(tmp_path, monkeypatch):
    """Two networks as ``train.py --keep`` names them, the last network beside them, few tiles."""
    tiles = zoo.photographs(["coffee"], scales=[3])
    monkeypatch.setattr(zoo, "photographs", lambda **_: tiles)
    for epoch, name in enumerate(("n-epoch002", "n-epoch010", "n")):
        torch.manual_seed(epoch)
        about = {"steps": 10 * epoch, "batch": 4, "seed": 0, "held_out_accuracy": 0.5}
        save_weights(ZFNetMini(3), tmp_path / f"{name}.safetensors", classes="abc", about=about)
    return tmp_path


def test_a_training_is_drawn_from_its_checkpoints(checkpoints, tmp_path):
    made = read_provenance(make_figures.training(str(checkpoints), tmp_path))
    assert made["numbers"] == "2, 10"
    assert made["model"] == "zoo:zfnet_mini with 3 classes"
    assert made["training"].startswith("10 steps of 4 views, seed 0; 50% of views")


def test_a_training_that_is_not_there_is_told(tmp_path, monkeypatch, capsys):
    with pytest.raises(FileNotFoundError, match="train.py --keep"):
        make_figures.training(str(tmp_path), tmp_path)
    monkeypatch.setattr(sys, "argv", ["make_figures.py", "--only", "evolution"])
    with pytest.raises(SystemExit):
        make_figures.main()
    assert "--only evolution needs --checkpoints FOLDER" in capsys.readouterr().err
