"""The adapters without their libraries, and how they say what is missing."""

import pytest

import deconvnet
from deconvnet import adapters


def absent(name):
    return None


@pytest.mark.parametrize("name", [n for n in adapters.__all__ if n != "quantus_explain"])
def test_a_library_that_is_absent_is_named(name, monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", absent)
    library = adapters._HOMES[name][1]
    with pytest.raises(ModuleNotFoundError, match=rf"{name} needs {library}.*deconvnet\[bench\]"):
        getattr(adapters, name)


def test_only_what_can_be_used_is_listed(monkeypatch):
    monkeypatch.setattr(adapters, "find_spec", absent)
    assert {"quantus_explain"} == set(adapters.__all__) & set(dir(adapters))
    monkeypatch.setattr(adapters, "find_spec", lambda name: name)
    assert set(adapters.__all__) <= set(dir(adapters))


def test_they_are_reached_from_the_top_and_unknown_names_are_told():
    assert deconvnet.adapters is adapters
    assert set(adapters._HOMES) == set(adapters.__all__)
    with pytest.raises(AttributeError, match="no attribute 'CaptumOcclusion'"):
        _ = adapters.CaptumOcclusion
