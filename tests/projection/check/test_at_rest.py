"""A branch that is at rest on the images that were compared: the model itself is asked again."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from deconvnet import UntraceableError, mine, verify
from deconvnet.graph.graph import trace
from deconvnet.mining.run import worker
from deconvnet.mining.verify import recompute
from deconvnet.projection.check import float64
from deconvnet.projection.check.checked_graphs import differs
from deconvnet.store.store import Store
from tests.support.networks import noise

INSIDE = []  # holds something while the model itself runs, and not while its graph does


@torch.fx.wrap
def chosen(x):
    far = x.flatten(1).mean(1) > 3
    return torch.where(far[:, None, None, None], 3 * x, x) if INSIDE else x


class Resting(nn.Module):
    """On bright images it is another model than its graph."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.one, self.two = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 4, 1)

    def forward(self, x):
        x = self.one(x)
        INSIDE.append(True)
        x = chosen(x.abs())
        INSIDE.clear()
        return torch.relu(self.two(x))


def data(*, bright):
    """Twelve images; these of them are bright."""
    return [image * (100 if i in bright else 1) for i, image in enumerate(noise(12, 3, 8, 8).abs())]


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("layer", ["two", "relu"])
@pytest.mark.parametrize("bright", [(9,), (4, 5, 11)])
def test_mining_asks_the_model_about_the_strongest_images(tmp_path, layer, bright, dtype):
    images = [image.to(dtype) for image in data(bright=bright)]
    with pytest.raises(UntraceableError, match=r"another at .* among the strongest.*No store"):
        mine(Resting().to(dtype), images, tmp_path / "a.h5", [layer], 2, 4)
    assert not (tmp_path / "a.h5").exists()
    assert mine(Resting().to(dtype), images, tmp_path / "b.h5", ["one"], 2, 4)["one"].channels == 4


def test_what_was_mined_is_kept_and_can_be_had(tmp_path):
    images = data(bright=(9,))
    with pytest.raises(UntraceableError, match="No store is written"):
        mine(Resting().double(), images, tmp_path / "a.h5", ["two"], 2, 4, resume=True)
    seen = []
    mine(
        Resting().double(), images, tmp_path / "a.h5", ["two"], 2, 4,
        resume=True, check=False, report=lambda *numbers: seen.append(numbers),
    )  # fmt: skip
    assert seen == []


def test_the_law_catches_a_run_that_does_not_ask(tmp_path, monkeypatch):
    """The planted wrong case: the store is wrong, and the graph that made it agrees."""
    monkeypatch.setattr(worker, "check_strongest", lambda *args: None)
    model, images = Resting().double(), data(bright=(9,))
    store = mine(model, images, tmp_path / "a.h5", ["two"], 2, 4)
    own = model.two(3 * model.one(images[9][None]).abs()).amax((2, 3))
    assert abs(own.max() - store["two"].activation.max()) > 1
    found = verify(store, model, images)
    assert {mismatch.kind for mismatch in found.mismatches} == {"graph"}
    assert "two is" in found.mismatches[0].what

    def alone(graph, batch, layers, tell):
        return replace(recomputing_alongside(graph, batch, layers, tell), rows=[])

    recomputing_alongside = recompute.alongside
    monkeypatch.setattr(recompute, "alongside", alone)
    assert verify(store, model, images).passed, "by the graph alone"


def test_verify_looks_below_the_layers_alone(tmp_path):
    model, images = Resting().double(), data(bright=(9,))
    store = mine(model, images, tmp_path / "a.h5", ["one"], 2, 4)
    assert isinstance(store, Store)
    assert verify(store, model, images).passed


def test_float64_repeats_the_images_that_differ(monkeypatch):
    """The one image that is wrong is the last of the batch."""
    asked, run = [], float64.compare

    def compare(graph, images, *args, **options):
        asked.append(images.dtype)
        return run(graph, images, *args, **options)

    monkeypatch.setattr(float64, "compare", compare)
    images = torch.stack(data(bright=(11,))).float()
    row = differs(trace(Resting()), images, ["two"])
    assert asked == [torch.float32, torch.float64]
    assert row is not None
    assert row.name == "two"


def test_a_model_that_cannot_be_called_is_not_compared(tmp_path):
    model, images = Resting().double(), data(bright=())
    store = mine(model, images, tmp_path / "a.h5", ["two"], 2, 4)

    class Failing(Resting):
        def forward(self, x):
            if isinstance(x, torch.Tensor):
                raise RuntimeError("out of order")
            return super().forward(x)

    broken = Failing().double()
    broken.load_state_dict(model.state_dict())
    with pytest.raises(ValueError, match="out of order"):
        verify(store, broken, images)
