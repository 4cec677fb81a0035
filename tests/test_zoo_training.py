"""Training the embedded network: decided by a seed, interrupted without a trace."""

import importlib.util
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from deconvnet.zoo.averaging import Average
from deconvnet.zoo.collage import Collage
from deconvnet.zoo.embedded_weights import load_about, load_weights
from deconvnet.zoo.recipe import factor, prepared
from deconvnet.zoo.training import Settings, Training
from deconvnet.zoo.views import TRAINING, Views
from deconvnet.zoo.zfnet_mini_network import ZFNetMini
from tests.support.objects import draw_objects

SCRIPT = Path(__file__).parents[1] / "scripts" / "train_zoo.py"
SETTINGS = Settings(classes=2, batch=4, epochs=0.25)  # 8 steps


@pytest.fixture
def folders(tmp_path):
    return draw_objects(tmp_path)


@pytest.fixture
def views(folders):
    return Views(Collage(*folders), 0, purpose=TRAINING, batch=4)


def advance(training, views, until):
    while training.steps < until:
        training.step(*views.draw(training.steps))
    return training


def everything(training):
    """All numbers a training holds, side by side."""
    moments = [state["momentum_buffer"] for state in training.sgd.state.values()]
    networks = [training.model.state_dict(), training.average.model.state_dict()]
    tensors = moments + [value for state in networks for value in state.values()]
    return torch.cat([tensor.double().flatten() for tensor in tensors])


def after_an_interruption(views, file, *, spoil=lambda training: None):
    """Four steps, saved; restored by another training, which does four more."""
    advance(Training(SETTINGS), views, 4).save(file)
    resumed = Training(SETTINGS)
    resumed.restore(file)
    assert resumed.steps == 4
    spoil(resumed)
    return advance(resumed, views, 8)


def test_an_interruption_leaves_no_trace(views, tmp_path):
    whole = advance(Training(SETTINGS), views, 8)
    resumed = after_an_interruption(views, tmp_path / "t.state")
    assert torch.equal(everything(whole), everything(resumed))
    assert whole.share == resumed.share == 1


def forget_momentum(training):
    training.sgd.state.clear()


def forget_the_average(training):
    training.average.model.load_state_dict(training.model.state_dict())


def forget_running_statistics(training):
    for module in training.model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.reset_running_stats()


@pytest.mark.parametrize("spoil", [forget_momentum, forget_the_average, forget_running_statistics])
def test_a_forgetful_resume_is_caught(views, tmp_path, spoil):
    whole = advance(Training(SETTINGS), views, 8)
    resumed = after_an_interruption(views, tmp_path / "t.state", spoil=spoil)
    assert not torch.equal(everything(whole), everything(resumed))


def test_a_training_goes_on_only_with_its_own_settings(tmp_path):
    file = tmp_path / "t.state"
    Training(SETTINGS).save(file)
    with pytest.raises(ValueError, match=r"a training with rate 0\.1: expected"):
        Training(replace(SETTINGS, rate=0.2)).restore(file)
    with pytest.raises(FileNotFoundError, match="no training to go on with"):
        Training(SETTINGS).restore(tmp_path / "none.state")


def test_dropout_follows_from_the_seed_and_the_step_alone(views):
    first, second = Training(SETTINGS), Training(SETTINGS)
    torch.manual_seed(99)  # somebody else's
    one = first.step(*views.draw(0))
    torch.rand(7)
    assert second.step(*views.draw(0)) == one


def test_renormalisation_is_an_option(views):
    def largest(radius):
        training = Training(replace(SETTINGS, radius=radius))
        with torch.no_grad():
            training.model.get_parameter("conv1.0.weight").fill_(0.5)
        training.step(*views.draw(0))
        return training.model.get_parameter("conv1.0.weight").square().mean((1, 2, 3)).sqrt().max()

    assert largest(0.1) <= 0.1 + 1e-6
    assert largest(0) > 0.4


def test_the_rate_warms_up_and_ends_at_nothing():
    assert factor(0) < 0.01 < 0.9 < factor(0.03)
    assert factor(0.5) == pytest.approx(0.5)
    assert factor(1) == pytest.approx(0, abs=1e-9)


@torch.no_grad()
def test_an_average_is_folded_into_a_plain_network():
    model = prepared(3, 0.5).train()
    average = Average(model)
    for module in (model, average.model):
        module.get_parameter("conv1.0.weight").mul_(20)
    average.update(model)
    images = torch.randn(8, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    plain = average.folded([(images, torch.zeros(8))])
    assert [name for name, _ in plain.named_children()] == [
        name for name, _ in ZFNetMini(3).named_children()
    ]
    ZFNetMini(3).load_state_dict(plain.state_dict())
    maps = plain.conv1(images)  # the statistics of these very images: mean 0, deviation 1
    assert maps.mean((0, 2, 3)).abs().max() < 1e-4
    assert torch.allclose(maps.std((0, 2, 3)), torch.ones(48), atol=0.01)
    assert (model.conv1[0](images).std((0, 2, 3)) - 1).abs().max() > 0.1


def test_an_average_lags_behind():
    model = nn.Linear(1, 1, bias=False)
    average = Average(model)
    start = model.weight.item()
    with torch.no_grad():
        model.weight.add_(1)
    average.update(model)
    assert average.model.weight.item() == pytest.approx(start + 0.9)
    for _ in range(20):
        average.update(model)
    assert average.model.weight.item() == pytest.approx(start + 1, abs=1e-2)


@pytest.fixture
def script(folders, monkeypatch):
    """A function that runs the script on two objects, eight steps of four views."""
    spec = importlib.util.spec_from_file_location("train_zoo", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "THOROUGH", (2, 2))
    monkeypatch.setattr(module, "GLANCE", (1, 1))

    def run(out, *more):
        data = f"--objects {folders[0]} --backgrounds {folders[1]} --batch 4 --epochs 0.25"
        arguments = ["train_zoo.py", *data.split(), "--out", str(out), "--device", "cpu", *more]
        monkeypatch.setattr(sys, "argv", arguments)
        module.main()
        return out

    return run


def test_the_script_trains_and_writes_a_plain_network(script, tmp_path, capfd):
    out = script(tmp_path / "w.safetensors")
    ZFNetMini(2).load_state_dict(load_weights(out))
    about = load_about(out)
    assert about["steps"] == 8
    assert about["held_out_views"] == 8
    assert 0 <= about["held_out_accuracy"] <= 1
    assert set(about["dead_share"]) == {f"relu{n}" for n in range(1, 6)}
    assert json.loads(capfd.readouterr().out) == {"out": "w.safetensors", **about}
    assert not out.with_suffix(".state").exists()


def test_a_seed_decides_the_script(script, tmp_path):
    one, same, other = (
        load_weights(script(tmp_path / f"{n}.safetensors", "--seed", str(seed)))
        for n, seed in enumerate((0, 0, 1))
    )
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["conv5.weight"], other["conv5.weight"])


def test_a_killed_script_resumes_to_the_same_file(script, tmp_path, monkeypatch):
    whole = script(tmp_path / "whole.safetensors", "--keep", "0")
    out, step, calls = tmp_path / "killed.safetensors", Training.step, []

    def dying(self, images, labels):
        calls.append(self.steps)
        if self.steps == 5:
            raise KeyboardInterrupt
        return step(self, images, labels)

    monkeypatch.setattr(Training, "step", dying)
    with pytest.raises(KeyboardInterrupt):
        script(out, "--save-every", "0")
    assert not out.exists()
    monkeypatch.setattr(Training, "step", step)
    script(out, "--resume")
    assert calls == [0, 1, 2, 3, 4, 5]
    assert out.read_bytes() == whole.read_bytes()
    assert not out.with_suffix(".state").exists()


def test_networks_on_the_way_are_kept(script, tmp_path, monkeypatch):
    monkeypatch.setattr("deconvnet.zoo.training.VIEWS_AN_EPOCH", 4)  # two steps an epoch
    out = script(tmp_path / "w.safetensors", "--epochs", "3", "--keep", "0,1,2")
    kept = sorted(file.name for file in out.parent.glob("w-*.safetensors"))
    assert kept == [f"w-epoch00{n}.safetensors" for n in (0, 1, 2)]
    assert [load_about(out.parent / name)["steps"] for name in kept] == [0, 2, 4]
    states = [load_weights(out.parent / name)["conv1.weight"] for name in kept]
    assert not torch.equal(states[1], states[2])


def test_an_epoch_that_never_comes_is_refused(script, tmp_path, capsys):
    with pytest.raises(SystemExit):
        script(tmp_path / "w.safetensors", "--keep", "7")
    assert "--keep [7]: the training has the epochs 0 to 0.25" in capsys.readouterr().err
