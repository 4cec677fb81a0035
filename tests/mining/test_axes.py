"""Signals, images and video are mined alike: positions and boxes of one, two or three axes."""

import pytest
import torch
from torch import nn

from deconvnet.mining.mine import mine
from deconvnet.mining.verify.verify import verify
from deconvnet.store.store import open_store

CONVOLUTIONS = {1: nn.Conv1d, 2: nn.Conv2d, 3: nn.Conv3d}
SIZES = {1: (13,), 2: (9, 13), 3: (7, 9, 13)}


class Net(nn.Module):
    """A convolution of stride 2, a rectifier, and a fully connected layer."""

    def __init__(self, axes):
        super().__init__()
        torch.manual_seed(axes)
        self.conv, self.relu = CONVOLUTIONS[axes](2, 4, 3, stride=2), nn.ReLU()
        self.fc = nn.LazyLinear(3)

    def forward(self, x):
        return self.fc(self.relu(self.conv(x)).flatten(1))


@pytest.fixture(scope="module", params=[1, 2, 3])
def work(request, tmp_path_factory):
    axes = request.param
    images = torch.randn(9, 2, *SIZES[axes], generator=torch.Generator().manual_seed(0))
    model = Net(axes).eval()
    model(images)
    path = tmp_path_factory.mktemp("axes") / "a.h5"
    mine(model, list(images), path, k=3, batch_size=4, lowest=2, sample=4)
    return axes, model, images, open_store(path)


def test_every_position_holds_its_activation(work):
    axes, model, images, store = work
    with torch.no_grad():
        values = {"conv": model.conv(images), "fc": model(images)}
    values["relu"] = values["conv"].relu()
    for name, table in store.items():
        for each in table.tables.values():
            assert each.axes == axes
            assert each.positions.shape == (*each.activation.shape, axes)
            of = getattr(each, "of", name)
            for channel in range(each.channels):
                for slot in range(each.k):
                    place = tuple(each.positions[channel, slot].tolist())
                    place = place if each.size else ()
                    told = float(each.activation[channel, slot])
                    here = values[of][(int(each.images[channel, slot]), channel, *place)]
                    assert told == pytest.approx(float(here), abs=1e-5)
                    unit = each.unit(of, channel, slot)
                    assert unit.position == (place or None)


def test_boxes_are_what_the_convolution_sees(work):
    axes, _, _, store = work
    for name in ("conv", "relu"):
        for each in store[name].tables.values():
            starts, ends = each.box[..., :axes], each.box[..., axes:]
            assert (starts == 2 * each.positions).all()
            assert (ends == 2 * each.positions + 3).all()
    whole = store["fc"]
    assert whole.box_of(0, 0).size == SIZES[axes]
    assert (whole.positions == -1).all()


def test_it_is_verified(work):
    _, model, images, store = work
    result = verify(store, model, list(images), n=None, tolerance=0.0)
    assert result.mismatches == ()
    assert result.checked == result.equal > 0


def test_values_of_other_axes_are_named(tmp_path):
    """A video model that ends in images: the frames are gone, and boxes would be too."""

    class Flat(nn.Module):
        def __init__(self):
            super().__init__()
            self.conv, self.plane = nn.Conv3d(2, 3, 3), nn.Conv2d(3, 4, 3)

        def forward(self, x):
            return self.plane(self.conv(x).mean(2))

    images = list(torch.randn(3, 2, *SIZES[3]))
    store = mine(Flat().eval(), images, tmp_path / "a.h5")
    assert list(store) == ["conv"]
    with pytest.raises(ValueError, match=r"choose a layer whose value is \(batch, channels, frame"):
        mine(Flat().eval(), images, tmp_path / "b.h5", ["plane"])
