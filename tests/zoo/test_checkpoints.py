"""Checkpoints as training code writes them: where the state dict lies, and its prefixes."""

import argparse
import warnings
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet.zoo.checkpoints import states_in
from deconvnet.zoo.state_dicts import load_weights
from tests.support.commands import said


def make(seed):
    torch.manual_seed(seed)
    trunk = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Conv2d(4, 5, 3))
    return nn.Sequential(OrderedDict(features=trunk, classifier=nn.Linear(5, 2)))


class Wrapped(nn.Module):
    """A model whose own names have what wrappers put before names."""

    def __init__(self, seed):
        super().__init__()
        self.model = make(seed)
        self.net = nn.Conv2d(3, 2, 1)

    def forward(self, x):
        return self.net(x)


STATE = make(1).state_dict()
OTHER = make(3).state_dict()
OPTIMIZER = {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 0.1}]}


def prefixed(*prefixes):
    return {"".join(prefixes) + name: value for name, value in STATE.items()}


def inside(prefix, part):
    """Only a part of the model is wrapped."""
    return {name.replace(f"{part}.", f"{part}.{prefix}"): value for name, value in STATE.items()}


FORMS = {
    "plain": STATE,
    "with numbers beside": {**STATE, "epoch": 3, "arch": "small"},
    **{key: {key: STATE, "epoch": 3, "optimizer": OPTIMIZER}
       for key in ("model", "model_state_dict", "state_dict", "net", "network", "module")},
    **{key: {key: STATE, "epoch": 3} for key in ("ema", "model_ema", "state_dict_ema")},
    "nested twice": {"model": {"state_dict": STATE, "name": "small"}, "epoch": 3},
    "nested twice under others": {"state_dict": {"model": STATE}, "optimizer": OPTIMIZER},
    "under another key": {"student": STATE, "optimizer": OPTIMIZER, "epoch": 3},
    "DataParallel": prefixed("module."),
    "compiled": prefixed("_orig_mod."),
    "Lightning": {"state_dict": prefixed("model."), "hparams": {"lr": 0.1}},
    "net.": prefixed("net."),
    "network.": prefixed("network."),
    "backbone.": {"state_dict": prefixed("backbone.")},
    "compiled DataParallel": {"model": prefixed("module.", "_orig_mod.")},
    "DataParallel compiled": {"model_state_dict": prefixed("_orig_mod.", "module.")},
    "Lightning, compiled": {"state_dict": prefixed("model.", "_orig_mod.")},
    "Lightning, a backbone in a module": {"state_dict": prefixed("model.", "backbone.", "module.")},
    "a part compiled": {"model": inside("_orig_mod.", "features")},
    "a part in DataParallel": inside("module.", "features"),
    "Lightning, a part compiled": {"state_dict": {f"model.{n}": v for n, v in
                                                  inside("_orig_mod.", "features").items()}},
}  # fmt: skip


def written(folder, content):
    torch.save(content, folder / "w.pth")
    return str(folder / "w.pth")


def check(model, expected):
    for name, value in model.state_dict().items():
        assert torch.equal(value, expected[name]), name


@pytest.mark.parametrize("form", FORMS)
def test_usual_forms_are_read_whole_and_without_a_word(tmp_path, form):
    model = make(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load_weights(model, written(tmp_path, FORMS[form])) == ()
    check(model, STATE)


def test_a_plain_state_dict_is_preferred_to_an_average_and_said(tmp_path):
    file = written(tmp_path, {"model_ema": OTHER, "epoch": 3, "model": STATE})
    model = make(2)
    with pytest.warns(UserWarning, match="under 'model' in .* not those under model_ema; save"):
        load_weights(model, file)
    check(model, STATE)


def test_what_fits_is_preferred_to_what_comes_first(tmp_path):
    file = written(tmp_path, {"model": {"head.weight": torch.zeros(2)}, "ema": STATE})
    with pytest.warns(UserWarning, match="under 'ema' in"):
        load_weights(model := make(2), file)
    check(model, STATE)


def test_what_stands_beside_the_model_is_left_out_and_said(tmp_path):
    """Of a self-supervised run, a loss or the counter of an averaged model."""
    averaged = {"n_averaged": torch.tensor(7), **prefixed("module.")}
    with pytest.warns(UserWarning, match="1 of 12 tensors .* are not of this model, by their pre"):
        load_weights(model := make(2), written(tmp_path, averaged))
    check(model, STATE)


def test_a_prefix_that_is_the_models_own_stays(tmp_path):
    trained, model = Wrapped(1), Wrapped(2)
    load_weights(model, written(tmp_path, {"model": trained.state_dict()}))
    check(model, trained.state_dict())


def test_two_names_that_would_become_one_are_no_prefix(tmp_path):
    both = {**STATE, **{f"module.{name}": value for name, value in OTHER.items()}}
    with pytest.raises(ValueError, match="it has no module.features.0.weight"):
        load_weights(make(2), written(tmp_path, both))


def test_several_state_dicts_under_unknown_keys_are_not_guessed(tmp_path):
    file = written(tmp_path, {"teacher": STATE, "student": OTHER, "epoch": 3})
    message = r"expected a state dict .*its keys: 'teacher', 'student', 'epoch'\).*torch\.save"
    with pytest.raises(ValueError, match=message):
        load_weights(make(2), file)
    assert states_in({"optimizer": OPTIMIZER, "epoch": 3}) == []


@pytest.mark.parametrize(
    ("metadata", "name"),
    [(argparse.Namespace(lr=0.1), "argparse.Namespace"), (np.float64(0.5), "numpy")],
)
def test_what_is_refused_beside_the_weights_is_named(tmp_path, metadata, name):
    file = written(tmp_path, {"model": STATE, "args": metadata})
    message = rf"it holds {name}.*torch.save\(model.state_dict\(\), file\).*weights_only=False"
    with pytest.raises(ValueError, match=message):
        load_weights(make(2), file)


def test_the_command_reads_a_checkpoint(tmp_path, capfd):
    from deconvnet import zoo

    state = {f"_orig_mod.{n}": v for n, v in zoo.zfnet_mini().state_dict().items()}
    file = written(tmp_path, {"model_state_dict": state, "epoch": 3})
    code, out, err = said(capfd, "layers", "zoo:zfnet_mini", "--weights", file)
    assert (code, err) == (0, "")
    assert "relu5" in out
