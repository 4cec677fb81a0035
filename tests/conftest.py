"""For every test: one thread; and what several of them start from."""

import pytest
import torch

from tests.mining_runs import mined


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
