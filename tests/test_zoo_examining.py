"""What is told of a trained network: every figure has a network that it must find bad."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from deconvnet.zoo.collage import Collage
from deconvnet.zoo.embedded_weights import save_weights
from deconvnet.zoo.examining import (
    answers,
    examine,
    first_layer,
    nearest_mean,
    purity,
    roughness,
    unseen_instances,
)
from deconvnet.zoo.zfnet_mini_network import ZFNetMini
from tests.support.objects import draw_objects

SCRIPT = Path(__file__).parents[1] / "scripts" / "examine_zoo.py"
FOUR = ("angular/a", "angular/b", "round/c", "round/d")


@pytest.fixture
def model():
    torch.manual_seed(0)
    return ZFNetMini(2).eval()


class Recorder(nn.Sequential):
    """A network whose scores are the mean of each channel, behind one rectifier."""

    def __init__(self):
        super().__init__()
        self.relu1 = nn.ReLU()
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Identity()


def test_accuracy_and_dead_channels_are_counted():
    images = torch.full((4, 3, 2, 2), -1.0)
    images[torch.arange(4), torch.tensor([0, 1, 0, 1])] = 1.0  # channel 2 never answers
    halves = [(images[:2], torch.tensor([0, 1])), (images[2:], torch.tensor([0, 2]))]
    right, dead = answers(Recorder(), halves)
    assert right == 0.75
    assert dead["relu1"] == pytest.approx(1 / 3)


@torch.no_grad()
def test_the_examination_finds_dead_channels(model, tmp_path):
    collage = Collage(*draw_objects(tmp_path))
    found = examine(model, collage, seed=0, batch=4, batches=2)
    assert found["held_out_views"] == 8
    assert found["dead_share"]["relu3"] < 0.9
    model.conv3.bias[:144] = -1e3
    spoilt = examine(model, collage, seed=0, batch=4, batches=2)
    assert spoilt["dead_share"]["relu3"] >= 0.9
    assert json.loads(json.dumps(spoilt)) == spoilt


def test_smoothness():
    torch.manual_seed(0)
    ramp = torch.linspace(-1, 1, 7).expand(1, 3, 7, 7)
    assert roughness(ramp) < 0.3
    assert 1.5 < roughness(torch.randn(50, 3, 7, 7)).mean() < 2.4


def test_fine_stripes_are_rough_and_no_noise(model):
    torch.manual_seed(0)
    places = torch.arange(7.0)
    stripes = torch.cos(2 * torch.pi * (places[:, None] + places) / 3).expand(48, 3, 7, 7)
    assert roughness(stripes).min() > 1.5
    assert purity(stripes).min() > 0.8
    assert purity(torch.randn(50, 3, 7, 7)).max() < 0.25
    model.conv1.weight.data.copy_(stripes)
    assert first_layer(model) == {"filters": 48, "blank": 0, "noise": 0}


@torch.no_grad()
def test_blank_tiles_and_noise_in_layer_1(model):
    model.conv1.weight.copy_(torch.linspace(-1, 1, 7).expand(48, 3, 7, 7))
    assert first_layer(model) == {"filters": 48, "blank": 0, "noise": 0}
    model.conv1.weight[:5].mul_(0.01)
    model.conv1.weight[5:8] = torch.randn(3, 3, 7, 7)
    assert first_layer(model) == {"filters": 48, "blank": 5, "noise": 3}


def test_nearest_mean_knows_kinds_and_not_objects():
    kinds = torch.arange(3).repeat_interleave(2)
    near = torch.eye(3)[kinds][:, None].repeat(1, 4, 1)
    assert nearest_mean(near, kinds) == 1
    # objects unlike their kind's other one: only a mean that holds the object itself knows them
    apart = torch.eye(6)[:, None].repeat(1, 4, 1)
    assert nearest_mean(apart, kinds) == 0
    means = apart.mean(1).view(3, 2, 6).mean(1)
    assert (torch.cdist(apart.mean(1), means).argmin(1) == kinds).all()


def test_unseen_instances_tell_folders_of_two(model, tmp_path):
    collage = Collage(*draw_objects(tmp_path, (*FOUR, "angular/e/alone")))
    found = unseen_instances(model, collage, seed=0, batch=16)
    assert (found["folders"], found["objects"]) == (2, 4)
    assert found["unseen_instances_by_guessing"] == 0.5
    assert 0 <= found["unseen_instances"] <= 1
    with pytest.raises(ValueError, match="0 folders hold two objects"):
        unseen_instances(model, Collage(*draw_objects(tmp_path / "pair")), seed=0, batch=4)


@pytest.fixture
def script(monkeypatch):
    spec = importlib.util.spec_from_file_location("examine_zoo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def run(weights, folders):
        data = ["--objects", str(folders[0]), "--backgrounds", str(folders[1]), "--batch", "4"]
        monkeypatch.setattr(sys, "argv", ["examine_zoo.py", str(weights), *data])
        module.main()

    return run


def test_the_script_prints_figures(script, tmp_path, capsys):
    folders, file = draw_objects(tmp_path, FOUR), tmp_path / "w.safetensors"
    save_weights(ZFNetMini(4), file, classes=FOUR, about={"seed": 0})
    script(file, folders)
    found = json.loads(capsys.readouterr().out)
    assert found["bytes"] == file.stat().st_size
    assert {"held_out_accuracy", "dead_share", "first_layer", "unseen_instances"} <= set(found)
    save_weights(ZFNetMini(4), file, classes=[*FOUR[:3], "round/other"], about={"seed": 0})
    with pytest.raises(SystemExit):
        script(file, folders)
    assert "give the folder the weights were trained on" in capsys.readouterr().err
