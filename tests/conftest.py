"""For every test: one thread; and what several of them start from."""

from pathlib import Path

import pytest
import torch

from tests.support.mining_runs import mined

HERE = Path(__file__).parent
FLOORS = (
    "layers/",
    "figures/",
    "cli/test_demo.py",
    "data/test_image_files.py",
    "graph/test_export.py",
    "graph/test_frontends.py",
    "mining/run/test_microbatches.py",
    "mining/run/test_part.py",
    "mining/run/test_readers.py",
    "mining/run/test_reread.py",
    "mining/run/test_resume.py",
    "mining/run/test_rows.py",
    "mining/test_mine.py",
    "projection/test_cone.py",
    "projection/test_cone_situations.py",
    "projection/test_folding.py",
    "projection/test_gradient.py",
    "projection/test_project.py",
    "projection/test_written_over.py",
    "store/test_store.py",
    "store/test_store_bad.py",
)
"""Folders and files of tests that must also pass with the oldest versions in pyproject.toml."""


@pytest.hookimpl(tryfirst=True)  # before pytest selects by marker
def pytest_collection_modifyitems(items):
    """Mark what is in ``FLOORS`` and not slow."""
    for item in items:
        inside = item.path.is_relative_to(HERE)
        if inside and item.path.relative_to(HERE).as_posix().startswith(FLOORS):
            if item.get_closest_marker("slow") is None:
                item.add_marker(pytest.mark.floors)


@pytest.hookimpl(tryfirst=True)  # before fixtures are made, those of a module among them
def pytest_runtest_setup():
    """The same random numbers, whatever the process has run before."""
    torch.manual_seed(0)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call():
    """The same random numbers, whichever fixtures have been made for this test."""
    torch.manual_seed(1)


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
