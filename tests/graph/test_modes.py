"""Evaluation mode for a while, also where two threads work with one model."""

import threading

import pytest
import torch
from torch import nn

from deconvnet.graph.modes import evaluation
from deconvnet.mining.mine import mine
from tests.support.mined import Pictures
from tests.support.mining_runs import tables


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Dropout())


def flags(one):
    return [module.training for module in one.modules()]


def test_flags_come_back_one_by_one():
    one = model()
    one[1].eval()
    before = flags(one)
    with pytest.raises(ZeroDivisionError), evaluation(one):
        1 / any(flags(one))
    assert flags(one) == before == [True, True, False, True, True]


def test_inside_of_each_other_and_across():
    """The first to come may go first: the model stays in evaluation mode for the other."""
    one = model()
    first, second = evaluation(one), evaluation(one)
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not any(flags(one))
    second.__exit__(None, None, None)
    assert all(flags(one))


def test_a_part_of_a_model_beside_the_whole():
    one = model()
    whole, part = evaluation(one), evaluation(one[1])
    whole.__enter__()
    part.__enter__()
    whole.__exit__(None, None, None)
    assert flags(one) == [True, True, False, True, True]
    part.__exit__(None, None, None)
    assert all(flags(one))


class Waiting(Pictures):
    """Its last image is read when it may be."""

    def __init__(self, images):
        super().__init__(images)
        self.reached, self.go_on = threading.Event(), threading.Event()

    def __getitem__(self, index):
        if index == len(self) - 1:
            self.reached.set()
            self.go_on.wait(30)
        return super().__getitem__(index)


def test_two_threads_mine_with_one_model(tmp_path):
    """Freshly built, it is in training mode; the second run ends after the first."""
    one, images = model(), torch.randn(12, 3, 9, 9, generator=torch.Generator().manual_seed(0))
    expected = mine(model().eval(), Pictures(images), tmp_path / "alone.h5", batch_size=2)
    state = {name: tensor.clone() for name, tensor in one.state_dict().items()}
    data = Waiting(images)
    second = threading.Thread(target=lambda: mine(one, data, tmp_path / "b.h5", batch_size=2))

    def report(done, total):
        if done == 2:
            second.start()
            assert data.reached.wait(30)

    mine(one, Pictures(images), tmp_path / "a.h5", batch_size=2, report=report)
    data.go_on.set()
    second.join()
    for name in ("a", "b"):
        assert tables(tmp_path / f"{name}.h5") == tables(expected.path)
    assert all(flags(one))
    assert all(torch.equal(tensor, state[name]) for name, tensor in one.state_dict().items())
