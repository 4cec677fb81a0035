"""What an atlas shows of a store, and how often that is looked up."""

from deconvnet.pages import plan
from deconvnet.pages.plan import SPECTRUM, STRONGEST, leaves
from tests.support.drawn_stores import drawn


def test_kinds_without_pictures_are_left_out(tmp_path):
    store = drawn(tmp_path / "top.h5", {"one": 3, "two": 3}, sample=8)
    asked = []

    def shows(layer, kind):
        asked.append((layer, kind))
        return layer == "two"

    one, two = leaves(store, ["one", "two"], k=9, per_source=None, shows=shows)
    assert list(one.grids) == [STRONGEST]
    assert list(two.grids) == [STRONGEST, SPECTRUM]
    assert asked == [("one", SPECTRUM), ("two", SPECTRUM)]  # there are no lowest


def test_the_entries_of_a_channel_are_found_once(tmp_path, monkeypatch):
    store = drawn(tmp_path / "top.h5", {"relu": 5}, sample=8, dead=(2,))
    looked, looking = [], plan.strongest_slots

    def counted(store, layer, channel, **how):
        looked.append(channel)
        return looking(store, layer, channel, **how)

    monkeypatch.setattr(plan, "strongest_slots", counted)
    (leaf,) = leaves(store, ["relu"], k=4, per_source=None, shows=lambda *_: True)
    for _ in range(2):
        leaf.images(range(5))
        names = [leaf.files(STRONGEST, channel, ["deconvnet"]) for channel in range(5)]
    assert sorted(looked) == list(range(5))
    assert leaf.slots(STRONGEST, 0) == [0, 1, 2, 3]
    assert leaf.slots(STRONGEST, 2) == names[2] == []
    assert leaf.slots(SPECTRUM, 0) == store["relu"].sample.at_quantiles(0, plan.QUANTILES)
