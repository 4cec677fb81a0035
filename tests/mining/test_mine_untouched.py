"""The model comes back from mining as it was, also when mining fails half-way."""

import os

import pytest
import torch

from deconvnet.mining.mine import mine
from tests.support.mined import Pictures, Ties, pictures


def state(model):
    """All that could be changed about a model, comparable."""
    found = []
    for name, module in model.named_modules():
        own = {key: value for key, value in vars(module).items() if not key.startswith("_")}
        calls = [key for key, value in vars(module).items() if "hooks" in key and value]
        found.append((name, id(module), type(module), repr(own), calls))
    for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
        bits = tensor.detach().numpy().tobytes()
        found.append((name, id(tensor), tensor.requires_grad, tensor.grad is None, bits))
    return found


def half_trained():
    """A model with mixed flags: someone is fine-tuning the classifier."""
    model = Ties().train()
    model.norm.eval()
    model.conv1.weight.requires_grad_(False)
    return model


def interrupt(done, total):
    raise KeyboardInterrupt


RUNS = {
    "a whole run": (pictures(nan=False), {}, None),
    "a broken image": (pictures(nan=False), {"strict": True, "broken": [6]}, ValueError),
    "NaN": (pictures(), {"nan": "error"}, ValueError),
    "an interruption": (pictures(nan=False), {"report": interrupt}, KeyboardInterrupt),
    "no such layer": (pictures(nan=False), {"layers": ["conv9"]}, KeyError),
    "images of another size": (torch.rand(2, 3, 9, 9), {}, ValueError),
    "a folder in the way": (pictures(nan=False), {"path": os.sep}, OSError),
}


@pytest.mark.parametrize(("images", "arguments", "error"), RUNS.values(), ids=RUNS)
def test_the_model_is_left_alone(tmp_path, images, arguments, error):
    model = half_trained()
    before, random = state(model), torch.get_rng_state()
    data = Pictures(images, broken=arguments.get("broken", ()))
    options = {"path": tmp_path / "a.h5", "batch_size": 4, **arguments}
    options.pop("broken", None)
    if error is None:
        mine(model, data, **options)
    else:
        with pytest.raises(error):
            mine(model, data, **options)
    assert state(model) == before
    assert torch.equal(torch.get_rng_state(), random)


FAULTS = {
    "a flag": lambda model: model.drop.eval(),
    "a statistic": lambda model: model.norm.running_mean.add_(1e-3),
    "a module": lambda model: setattr(model, "fc2", torch.nn.Linear(7, 3)),
    "requires_grad": lambda model: model.fc2.weight.requires_grad_(False),
    "what runs at a call": lambda model: model.fc1.register_forward_hook(lambda *_: None),
    "in-place": lambda model: setattr(model.relu1, "inplace", False),
}


@pytest.mark.parametrize("fault", FAULTS.values(), ids=FAULTS)
def test_the_check_catches(fault):
    model = half_trained()
    before = state(model)
    fault(model)
    assert state(model) != before


def test_dropout_and_statistics_rest(tmp_path):
    """In training mode, dropout and batch statistics would change what is mined."""
    data = Pictures(pictures(nan=False))
    for name, model in (("a", Ties().train()), ("b", Ties().eval())):
        mine(model, data, tmp_path / name, batch_size=4)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()
