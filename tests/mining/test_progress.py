"""Bars of long work: shown in Python too, by one process of a machine, unless told otherwise."""

import pytest

from deconvnet import embed, exemplars, mine, verify
from deconvnet.mining import progress
from tests.support.mined import Pictures, pictures
from tests.support.studied import MODEL, PREPARED

CALLS = {
    "mining": lambda store, path, **how: mine(
        MODEL, store.mined_from[1], path / "new.h5", "relu", 4, 4, **how
    ),
    "verifying": lambda store, _, **how: verify(store, **how),
    "embedding": lambda store, path, **how: embed(
        store, preprocessing=PREPARED, path=path / "new.h5", **how
    ),
    "projecting": lambda store, _, **how: exemplars(
        store, "relu", "0-3", preprocessing=PREPARED, **how
    ),
}


@pytest.fixture
def store(tmp_path):
    data = Pictures(pictures(nan=False))
    return mine(MODEL, data, tmp_path / "top.h5", "relu", 4, 4, progress=False)


@pytest.mark.parametrize("does", CALLS)
def test_long_work_shows_a_bar(store, tmp_path, capfd, monkeypatch, does):
    monkeypatch.setattr(progress, "DELAY", 1e9)  # seconds
    CALLS[does](store, tmp_path)
    assert does not in capfd.readouterr().err
    monkeypatch.setattr(progress, "DELAY", 0.0)
    (tmp_path / "new.h5").unlink(missing_ok=True)
    CALLS[does](store, tmp_path)
    assert f"{does}: 100%" in capfd.readouterr().err
    (tmp_path / "new.h5").unlink(missing_ok=True)
    CALLS[does](store, tmp_path, progress=False)
    assert does not in capfd.readouterr().err


def test_one_process_of_a_machine_shows_it(store, tmp_path, capfd, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    monkeypatch.setenv("LOCAL_RANK", "1")
    verify(store)
    assert "verifying" not in capfd.readouterr().err


def test_a_reporter_of_the_caller_comes_first(store, capfd, monkeypatch):
    monkeypatch.setattr(progress, "DELAY", 0.0)
    told = []
    verify(store, report=lambda done, of: told.append((done, of)))
    assert told
    assert told[-1][0] == told[-1][1]
    assert "verifying" not in capfd.readouterr().err
