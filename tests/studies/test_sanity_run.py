"""The run of a sanity check: what it catches, and how it leaves the model."""

import numpy as np
import pytest

from deconvnet import DeconvNet
from tests.support.randomisable import bits
from tests.support.sanity_checks import IMAGES, PLAIN, Held, Small, checked


class Caching(Small):
    """A hook keeps the scores of images that it has seen."""

    def __init__(self):
        super().__init__()
        seen = {}

        def hook(module, args, output):
            kept = seen.setdefault(len(output), output.detach())
            return kept + (output - output.detach())  # whose derivative is right

        self.fc.register_forward_hook(hook)


@pytest.mark.parametrize("kind", [Caching, Held])
def test_a_model_that_does_not_use_its_weights_is_caught(kind):
    """Planted: else all similarities would be 1."""
    with pytest.raises(ValueError, match="are the same with random weights in fc: the model does"):
        checked(kind().double().eval(), rectifiers="gradient")


def test_maps_that_never_change_are_told(monkeypatch):
    """Planted: a rule, or a tool, that gives the maps of an earlier call."""
    seen, project = {}, DeconvNet.project

    def kept(net, images, **options):
        made = project(net, images, **options)
        key = str(net.policies.rectifier), str(options["units"])
        return seen.setdefault(key, made) if key[0] == "guided" else made

    monkeypatch.setattr(DeconvNet, "project", kept)
    result = checked(images=IMAGES[:2], rectifiers=("gradient", "guided"))
    assert result.curve("spearman", "guided")[0] == pytest.approx(1)
    assert len(result.notes) == 1
    assert result.notes[0].startswith("the maps of guided are the same in every state")
    assert result.notes[0] in result.caption


def test_a_dead_net_is_told():
    model = Small().double().eval()
    model.two.bias.data.fill_(-1e3)
    result = checked(model, stages=["one"], rectifiers=("gradient", "deconvnet"))
    assert any(note.startswith("with random one the values of fc are") for note in result.notes)
    assert {row["compared"] for row in result.table() if row["rectifier"] == "gradient"} == {0}
    assert result.figure()


class Uncopied(Small):
    """Cannot be copied, and is interrupted in some call."""

    interrupted = None

    def __deepcopy__(self, memo):
        raise RuntimeError("not this one")

    def watch(self, number):
        calls = []

        def hook(*_):
            calls.append(0)
            if len(calls) == number:
                raise KeyboardInterrupt

        self.two.register_forward_hook(hook)
        return calls


def test_a_model_that_cannot_be_copied_is_restored_bit_for_bit():
    model = Uncopied().double().eval()
    before = bits(model), [one.data_ptr() for one in model.parameters()]
    made = checked(model, init="reset")
    assert (bits(model), [one.data_ptr() for one in model.parameters()]) == before
    copied = checked(Small().double().eval(), init="reset")
    for row, values in made.similarity["spearman"].items():
        np.testing.assert_array_equal(values, copied.similarity["spearman"][row])


def test_also_after_an_interrupt():
    model = Uncopied().double().train()
    calls = model.watch(10**9)
    checked(model)
    (handle,) = model.two._forward_hooks.copy()
    del model.two._forward_hooks[handle]
    before = bits(model), [one.data_ptr() for one in model.parameters()]
    model.watch(len(calls) - 2)  # as the last stage is measured
    with pytest.raises(KeyboardInterrupt):
        checked(model)
    assert (bits(model), [one.data_ptr() for one in model.parameters()]) == before
    assert all(module.training for module in model.modules())


def test_a_model_that_can_be_copied_is_not_touched():
    model = Small().double().train()
    before = bits(model), [one._version for one in model.parameters()]
    net = DeconvNet(model, preprocessing=PLAIN)
    recording = net.record(IMAGES)
    checked(net)
    assert (bits(model), [one._version for one in model.parameters()]) == before
    assert net.project(recording, layer="fc", channel=0).shape == IMAGES.shape
    assert model.training


def test_the_graph_is_compared_once(monkeypatch):
    from deconvnet.projection.check import checked_graphs

    seen, judge = [], checked_graphs.judge
    monkeypatch.setattr(checked_graphs, "judge", lambda *a, **k: seen.append(a) or judge(*a, **k))
    checked(order="independent")
    assert len(seen) <= 2, "of the model and of its copy"


def test_two_runs_are_the_same_and_a_seed_makes_another():
    one, two, other = (checked(random_state=seed) for seed in (3, 3, 4))
    for row, values in one.similarity["ssim"].items():
        np.testing.assert_array_equal(values, two.similarity["ssim"][row])
    assert (one.similarity["ssim"]["gradient"] != other.similarity["ssim"]["gradient"]).all()
