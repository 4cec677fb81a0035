"""Signals as a terminal gives them to a process, and images behind one open file."""

import signal

import pytest

from tests.support.lazy_readers import Raw, the_images


@pytest.fixture(autouse=True, scope="package")
def heard():
    """SIGHUP and SIGINT, which jobs in the background and under nohup are started deaf to.

    The processes of these tests inherit what is set here.
    """
    earlier = {
        signal.SIGHUP: signal.signal(signal.SIGHUP, signal.SIG_DFL),
        signal.SIGINT: signal.signal(signal.SIGINT, signal.default_int_handler),
    }
    yield
    for number, handler in earlier.items():
        signal.signal(number, handler)


@pytest.fixture
def raw(tmp_path):
    """Images that are read from one file, which stays open."""
    Raw.write(tmp_path / "raw", the_images())
    data = Raw(tmp_path / "raw")
    yield data
    data.close()
