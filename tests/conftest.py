"""For every test: one thread; and what several of them start from."""

from pathlib import Path

import pytest
import torch

from tests.support.mining_runs import mined

HERE = Path(__file__).parent
FLOORS = (
    "layers/", "figures/", "test_cone.py", "test_cone_situations.py", "test_demo.py",
    "test_exporting.py", "test_feed.py", "test_gradient.py", "test_graphs.py", "test_mine.py",
    "test_parts.py", "test_photographs.py", "test_project.py", "test_readers.py", "test_reread.py",
    "test_resume.py", "test_rows.py", "test_store.py", "test_store_bad.py",
)  # fmt: skip
"""Folders and files of tests that must also pass with the oldest versions in pyproject.toml."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    """Mark what is in ``FLOORS`` and not slow."""
    for item in items:
        inside = item.path.is_relative_to(HERE)
        if inside and item.path.relative_to(HERE).as_posix().startswith(FLOORS):
            if item.get_closest_marker("slow") is None:
                item.add_marker(pytest.mark.floors)


@pytest.fixture(autouse=True, scope="session")
def one_thread():
    """Small convolutions on several mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="session")
def whole(tmp_path_factory):
    """The store of a run in one piece, see ``mining_runs``; it is only read."""
    path = tmp_path_factory.mktemp("whole") / "top.h5"
    mined(path)
    return path
