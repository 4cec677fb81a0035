"""A unit that is an OR of two detectors splits into what each detects, without an error."""

import numpy as np
import pytest
import torch
from torch import nn

import deconvnet.studies.facets
from deconvnet import DeconvNet, Preprocessing, Unit, mine
from deconvnet.studies.facets import facets, grouped

COUNT, SIDE = 16, 12
PREPARED = Preprocessing((SIDE, SIDE), None, (0.5, 0.5, 0.5), (0.5, 0.5, 0.5))
RANDOM = np.random.default_rng(2)
COLOURS = RANDOM.permutation([0, 2] * (COUNT // 2))  # red or blue
SIZES = RANDOM.permutation(np.linspace(0.05, 1, COUNT))  # how bright, of both colours alike


class Either(nn.Module):
    """A detector of red and one of blue, and a unit that responds to either."""

    def __init__(self):
        super().__init__()
        self.detect, self.either = nn.Conv2d(3, 4, 1, bias=False), nn.Conv2d(4, 2, 3, bias=False)
        self.detect.weight.data.zero_()
        self.detect.weight.data[1, 0] = self.detect.weight.data[3, 2] = 1
        self.either.weight.data.zero_()
        self.either.weight.data[1, [1, 3], 1, 1] = 1

    def forward(self, x):
        return torch.relu(self.either(torch.relu(self.detect(x))))


class Spots(torch.utils.data.Dataset):
    """A spot of one colour in each image."""

    def __len__(self):
        return COUNT

    def __getitem__(self, index):
        image = torch.full((3, SIDE, SIDE), -1.0)
        row, col = 2 + index % 7, 3 + index % 5
        image[COLOURS[index], row, col] = float(SIZES[index])
        return image


@pytest.fixture(scope="module")
def store(tmp_path_factory):
    path = tmp_path_factory.mktemp("facets") / "top.h5"
    return mine(Either().eval(), Spots(), path, ["relu", "relu_1"], COUNT, 4, progress=False)


def split(store, **how):
    how = {"at": "relu", "preprocessing": PREPARED, **how}
    return facets(store, Unit("relu_1", 1), **how)


def colours_of(result):
    """The colours of the exemplars of each facet."""
    return [{int(COLOURS[one.unit.image]) for one in result.of(facet)} for facet in (0, 1)]


@pytest.mark.parametrize("random_state", range(5))
def test_an_or_of_two_detectors_splits_without_error(store, random_state):
    result = split(store, random_state=random_state)
    assert sorted(map(tuple, colours_of(result))) == [(0,), (2,)]
    assert len(result.exemplars) == COUNT
    assert [result.feeding(0), result.feeding(1)] in ([[1], [3]], [[3], [1]])
    assert result.labels[0] == 0  # the strongest exemplar is in the first facet


def test_clusters_by_activation_size_would_be_caught(store, monkeypatch):
    """Planted: how strong the exemplars are is not taken away, and decides."""
    monkeypatch.setattr(deconvnet.studies.facets, "_directions", lambda added: added**4)
    result = split(store)
    assert max(map(len, colours_of(result))) == 2
    by_size = np.argsort(np.argsort([one.activation for one in result.exemplars])) >= COUNT // 2
    assert len({(c, bool(s)) for c, s in zip(COLOURS, by_size, strict=True)}) > 2


def test_groups_of_rows_that_point_the_same_way():
    ways = np.eye(5)[[0, 3, 4, 0, 3, 4, 0, 0]]
    rows = ways * np.geomspace(0.01, 100, 8)[:, None]
    assert grouped(rows, 3, random_state=0).tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
    assert grouped(rows, 3, random_state=7).tolist() == [0, 1, 2, 0, 1, 2, 0, 0]
    with pytest.raises(ValueError, match="fed in fewer than 4 different ways"):
        grouped(rows, 4, random_state=0)


def test_figure_and_table(store):
    result = split(store, rectifier="guided")
    figure = result.figure(title="relu_1:1", caption=True)
    words = " ".join(text.get_text() for text in figure.axes[0].texts)
    assert "facet 1: 8 of 16 exemplars; fed by relu: " in words
    assert "random_state 0" in words
    assert "guided" in words
    rows = result.table()
    assert [row["facet"] for row in rows] == (result.labels + 1).tolist()
    assert [row["activation"] for row in rows] == sorted(SIZES.astype("f4").tolist(), reverse=True)


def test_a_net_and_data_of_ones_own(store):
    result = split(store, net=DeconvNet(Either().eval(), "guided"), data=Spots())
    assert (result.rectifier, result.at, result.unit) == ("guided", "relu", Unit("relu_1", 1))


def test_bad_input(store):
    with pytest.raises(ValueError, match="17 facets of 16 exemplars were asked for; give at least"):
        split(store, clusters=17)
    with pytest.raises(ValueError, match="1 facets of 16 exemplars"):
        split(store, clusters=1)
    with pytest.raises(ValueError, match="relu_1 is not below relu,"):
        facets(store, Unit("relu", 1), at="relu_1", preprocessing=PREPARED)
    with pytest.raises(ValueError, match="relu_1:0 was never positive"):
        facets(store, Unit("relu_1", 0), at="relu", preprocessing=PREPARED)
