"""The adapters without their libraries, and how they tell what is missing."""

import inspect
import pydoc
import re

import pytest

import deconvnet
from deconvnet import adapters


def absent(name):
    return None


@pytest.fixture
def without(monkeypatch):
    """As if no library were there."""
    monkeypatch.setattr(adapters, "find_spec", lambda name: None)


@pytest.mark.parametrize("name", [n for n in adapters.__all__ if n != "quantus_explain"])
def test_a_library_that_is_absent_is_named_where_it_is_needed(name, without):
    library = adapters._HOMES[name][1]
    told = rf"{name} needs {library}.*deconvnet\[bench\]"
    with pytest.raises(ModuleNotFoundError, match=told) as raised:
        getattr(adapters, name)(None, "guided")
    assert raised.value.name == library
    assert re.search(told, inspect.getdoc(getattr(adapters, name)))

    class Own(getattr(adapters, name)):
        """Of a user."""

    with pytest.raises(ImportError, match=told):
        Own(rectifier="guided")


def test_looking_at_the_module_needs_no_library(without):
    exec("from deconvnet.adapters import ZennitAttributor", {})
    assert all(hasattr(adapters, name) for name in adapters.__all__)
    assert not hasattr(adapters, "CaptumOcclusion")
    assert {name for name, _ in inspect.getmembers(adapters)} == set(adapters.__all__)
    assert "ZennitAttributor" in pydoc.render_doc(adapters)


def test_only_public_names_are_listed():
    assert dir(adapters) == sorted(adapters.__all__)


def test_they_are_reached_from_the_top_and_unknown_names_are_told():
    assert deconvnet.adapters is adapters
    assert set(adapters._HOMES) == set(adapters.__all__)
    with pytest.raises(AttributeError, match="no attribute 'CaptumOcclusion'"):
        _ = adapters.CaptumOcclusion
