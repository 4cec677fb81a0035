"""Evolution: a filter that moves between two known ones, its jump and its projections."""

import copy
import gc
import sys
import weakref

import numpy as np
import pytest
import torch
from torch import nn

from deconvnet import DeconvNet, Preprocessing, evolution

studied = sys.modules[evolution.__module__]  # the package exports the function by this name
SIZE = 6
PLAIN = Preprocessing((SIZE, SIZE), None, (0.0,) * 3, (1.0,) * 3)
EPOCHS = [1, 2, 5, 10, 20]
ENDS = torch.zeros(2, 3, 2, 2)
ENDS[0, 0], ENDS[1, 1] = 1.0, 1.0  # red at first, green at last


class One(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 2, 2, bias=False)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.conv(x))


def at(share):
    """Weights of channel 0 on the way from red to green; channel 1 is always blue."""
    weight = torch.zeros(2, 3, 2, 2)
    weight[0] = (1 - share) * ENDS[0] + share * ENDS[1]
    weight[1, 2] = 1.0
    return {"conv.weight": weight}


CHECKPOINTS = {epoch: at(epoch / 20) for epoch in EPOCHS}


def images():
    """A red, a green (a little brighter) and a blue square, each somewhere else."""
    made = torch.zeros(3, 3, SIZE, SIZE)
    made[0, 0, 1:3, 1:3] = 1.0
    made[1, 1, 3:5, 2:4] = 1.25
    made[2, 2, 0:2, 4:6] = 1.0
    return made


def run(checkpoints, **options):
    options = {"layer": "relu", "channels": [0, 1], "preprocessing": PLAIN, **options}
    return evolution(DeconvNet(One(), "gradient"), checkpoints, images(), **options)


def test_the_epoch_of_the_jump_and_the_projections_in_closed_form():
    """Red answers 4 (1 - t), green 5 t: green wins from t = 4 / 9, first at epoch 10."""
    result = run(CHECKPOINTS)
    assert list(result.numbers) == EPOCHS
    np.testing.assert_array_equal(result.sources[:, 0], [0, 0, 0, 1, 1])
    np.testing.assert_array_equal(result.sources[:, 1], [2] * 5)
    np.testing.assert_array_equal(result.changed[:, 0], [False, False, False, True, False])
    np.testing.assert_allclose(result.shares, [np.nan, 0, 0, 0.5, 0])
    for epoch, one in zip(EPOCHS, result.exemplars[0], strict=True):
        share = epoch / 20
        value = max(4 * (1 - share), 5 * share)
        assert one.activation == pytest.approx(value, rel=1e-6)
        place = (1, 1) if epoch < 10 else (3, 2)
        assert (one.unit.position, one.box.start) == (place, place)
        expected = value * at(share)["conv.weight"][0].permute(1, 2, 0).numpy()
        np.testing.assert_allclose(one.projection, expected, rtol=1e-6)
    first_kept = [result.sources[0, 0]] * 5  # planted wrong: the first epoch's image is kept
    assert first_kept != result.sources[:, 0].tolist()


def test_checkpoints_are_in_the_order_of_their_numbers(tmp_path):
    for epoch, state in CHECKPOINTS.items():
        torch.save(state, tmp_path / f"net2-epoch{epoch}.pth")
    files = sorted(tmp_path.iterdir())
    named = [file.stem.partition("epoch")[2] for file in files]
    assert named == ["1", "10", "2", "20", "5"]  # planted: the order of text
    for given in (tmp_path, files, [str(file) for file in files[::-1]]):
        assert list(run(given).numbers) == EPOCHS
    np.testing.assert_array_equal(run(tmp_path).sources, run(CHECKPOINTS).sources)


def test_folders_and_files_together_are_in_one_order(tmp_path):
    folder, last = tmp_path / "run7", tmp_path / "epoch20.pth"
    folder.mkdir()
    for epoch in EPOCHS[:-1]:
        torch.save(CHECKPOINTS[epoch], folder / f"epoch{epoch}.pth")
    torch.save(CHECKPOINTS[20], last)
    assert list(run([last, folder]).numbers) == EPOCHS  # planted: 7, the number of the folder
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no checkpoints in .*empty"):
        run([tmp_path / "empty", last])


def test_one_checkpoint_is_held_at_a_time(monkeypatch):
    held, alive = [], weakref.WeakSet()

    def watched(model, checkpoint, load=studied._load):
        alive.add(model)
        gc.collect()
        held.append(len(alive))
        return load(model, checkpoint)

    monkeypatch.setattr(studied, "_load", watched)
    run(CHECKPOINTS)
    assert max(held) <= 2, "the one before may be held until the next is there"
    assert len(held) == 2 * len(EPOCHS)


def test_the_net_keeps_its_own_weights_and_the_figure_marks_the_jump():
    model = One()
    before = copy.deepcopy(model.state_dict())
    result = evolution(model, CHECKPOINTS, images(), layer="relu", preprocessing=PLAIN)
    torch.testing.assert_close(model.state_dict(), before)
    assert result.rectifier == "deconvnet"
    figure = result.figure(width=5.0, caption=True)
    drawn = figure.axes[0]
    assert len(drawn.images) == 10
    outlined = [patch for patch in drawn.patches if not patch.get_fill()]
    assert len(outlined) == 2  # one jump, its line and the white edge of it
    words = [text.get_text() for text in drawn.texts]
    assert {"1", "2", "5", "10", "20"} <= set(words)
    assert [row["changed"] for row in result.table()].count(True) == 1


BAD = {
    "one": ({1: at(0)}, "two or more, all different"),
    "twice": (["a1.pth", "b1.pth"], r"the numbers \[1, 1\]"),
    "no number": (["a.pth", "b1.pth"], "'a.pth' has no number in its name"),
    "another net": ({1: at(0), 2: {"fc.weight": torch.zeros(2)}}, "is not of this One"),
    "another size": ({1: at(0), 2: {"conv.weight": torch.zeros(1)}}, "is not of this One"),
}


@pytest.mark.parametrize(("checkpoints", "told"), BAD.values(), ids=BAD)
def test_bad_checkpoints_are_told_before_any_work(checkpoints, told, monkeypatch):
    monkeypatch.setattr("deconvnet.studies.strongest.values", None)
    with pytest.raises(ValueError, match=told):
        run(checkpoints)


def test_channels_and_files_that_are_not_there(tmp_path):
    with pytest.raises(IndexError, match="relu has no channel 2"):
        run(CHECKPOINTS, channels=2)
    with pytest.raises(IndexError, match="no channel 7"):
        run(CHECKPOINTS, channels="0,7")
    with pytest.raises((ValueError, OSError), match="epoch3"):
        run([tmp_path / "epoch3.pth", tmp_path / "epoch4.pth"])
    with pytest.raises(FileNotFoundError, match="there is no folder '.*epochs'"):
        run(tmp_path / "epochs")
