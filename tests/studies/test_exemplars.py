"""Exemplars of a store, recomputed or as stored, and the channels that words choose."""

import numpy as np
import pytest

from deconvnet import DeconvNet, embed, mine, open_store, verify, zoo
from deconvnet.mining.exemplars import project_exemplars
from deconvnet.mining.mine import Source
from deconvnet.store.picture_reading import stored_exemplars
from deconvnet.studies.exemplars import choose, exemplars
from deconvnet.studies.spectrum import spectrum
from tests.support.mined import Pictures, pictures
from tests.support.studied import MODEL, PREPARED, WIDTH


@pytest.fixture(scope="module")
def work(tmp_path_factory):
    """A store with pictures under "guided", and its data set."""
    data = Pictures(pictures(nan=False))
    path = tmp_path_factory.mktemp("studied") / "top.h5"
    store = mine(MODEL, data, path, ["relu", "conv1"], 4, 4)
    return embed(store, MODEL, data, preprocessing=PREPARED, rectifiers="guided"), data


def drawn(found):
    return [(e.unit, e.activation, e.box, e.overhang) for those in found.values() for e in those]


def test_with_a_net_they_are_recomputed_under_its_rule(work):
    store, data = work
    net = DeconvNet(MODEL, "rectgrad(90)")
    result = exemplars(store, "relu", "1-3", net=net, data=data, preprocessing=PREPARED)
    options = {"net": net, "dataset": data, "preprocessing": PREPARED}
    expected = project_exemplars(store, "relu", [1, 2, 3], **options)
    assert drawn(result.channels) == drawn(expected)
    assert (result.layer, result.rectifier) == ("relu", "rectgrad(90)")


def test_without_a_net_they_are_read_from_the_store(work):
    store, _ = work
    result = exemplars(store, "relu", [3, 1], rectifier="guided")
    expected = stored_exemplars(store, "relu", [3, 1], rectifier="guided")
    assert list(result.channels) == [3, 1]
    assert drawn(result.channels) == drawn(expected)
    opened = open_store(store.path)
    with pytest.raises(ValueError, match=r"from a Ties; say how to .*: rectifier=guided"):
        exemplars(opened, "relu", [3, 1])


def test_their_figure_and_table(work):
    store, _ = work
    result = exemplars(store, "conv1", "0-4", rectifier="guided")
    assert result.channels[1] == []  # never positive
    figure = result.figure(width=WIDTH, title="conv1", caption=True)
    words = [text.get_text() for text in figure.axes[0].texts]
    assert "conv1" in words
    assert any(text.startswith("conv1 by guided. Each projection") for text in words)
    assert "never positive" in words
    table, rows = store["conv1"], result.table()
    shown = table.activation[:5] > 0
    assert [row["activation"] for row in rows] == table.activation[:5][shown].tolist()
    assert [row["image"] for row in rows] == [f"{i}.jpg" for i in table.image[:5][shown]]
    assert [list(row["box"]) for row in rows] == table.box[:5][shown].tolist()
    assert rows[0]["unit"].startswith("conv1:")


def test_channels_by_words(work):
    table = work[0]["relu"]
    height = np.nanmean(table.activation, axis=1)
    best = int(np.nanargmax(np.where(table.nonzero > 0, height, -np.inf)))
    assert choose(table, "strongest:1") == [best]
    assert choose(table, "3,0-1,1") == [3, 0, 1]
    assert choose(table, "random:2") == choose(table, "random:2")
    with pytest.raises(ValueError, match="channels were 'best'; write 0-15, 3,7,9"):
        choose(table, "best")


def test_a_store_that_was_mined_here_remembers_its_model_and_data(work, tmp_path):
    _, data = work
    store = mine(DeconvNet(MODEL), data, tmp_path / "top.h5", "relu", 4, 4, preprocessing=PREPARED)
    assert store.mined_from == (MODEL, data)
    result = exemplars(store, "relu", "1-3", rectifier="guided")
    expected = project_exemplars(
        store, "relu", [1, 2, 3], net=DeconvNet(MODEL, "guided"), dataset=data
    )
    assert drawn(result.channels) == drawn(expected)
    assert (result.rectifier, result.model) == ("guided", "Ties")
    assert exemplars(store, "relu", 2).rectifier == "deconvnet"
    assert exemplars(store, "relu", 2, net=DeconvNet(MODEL, "guided")).rectifier == "guided"
    assert verify(store).passed
    assert embed(store, rectifiers="gradient").mined_from == store.mined_from


def test_a_store_from_the_disk_follows_its_words(tmp_path):
    """By a model of the zoo and a factory of data, as the command line records them."""
    tiles = zoo.photographs(["chelsea"], scales=[2])
    words = Source("zoo:zfnet_mini", "", "deconvnet.zoo:photographs", zoo.PREPROCESSING)
    path = tmp_path / "top.h5"
    store = mine(zoo.zfnet_mini(), tiles, path, "relu2", 2, source=words)
    assert open_store(path).mined_from is None
    one, other = exemplars(path, "relu2", "0-3", data=tiles), exemplars(store, "relu2", "0-3")
    assert drawn(one.channels) == drawn(other.channels)
    nameless = mine(MODEL, work_data := Pictures(pictures(nan=False)), tmp_path / "n.h5", "relu", 2)
    with pytest.raises(
        ValueError, match="mined from Python, from a Ties; say how to build the model"
    ):
        exemplars(open_store(nameless.path), "relu", data=work_data)


@pytest.mark.parametrize(
    ("channels", "options", "message"),
    [
        ([], {}, "no channel was given"),
        ("0-1", {"rows": 0}, "rows=0 was given, expected 1 or more"),
        ("0-1", {"columns": 0}, "columns=0 was given, expected 1 or more"),
    ],
)
def test_a_grid_of_nothing_is_refused(work, channels, options, message):
    with pytest.raises(ValueError, match=message):
        exemplars(work[0], "relu", channels, rectifier="guided", **options)


def test_the_rule_that_is_told_names_the_unpooling_too(tmp_path):
    """Projections of one rule differ by unpooling; a caption must not call them the same."""
    data = Pictures(pictures(nan=False))
    store = mine(MODEL, data, tmp_path / "a.h5", ["relu"], 4, lowest=2, sample=4)
    net = DeconvNet(MODEL, "guided", unpooling="centre")
    made = spectrum(store, "relu", [1], net=net, data=data, preprocessing=PREPARED)
    assert made.rectifier == "guided, unpooling centre"
