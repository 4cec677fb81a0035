"""Signals as a terminal gives them to a process."""

import signal

import pytest


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
