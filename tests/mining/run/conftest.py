"""Signals as a terminal gives them to a process."""

import signal

import pytest


@pytest.fixture(autouse=True, scope="package")
def hangups():
    """SIGHUP at its default, which the processes of these tests inherit, under nohup too."""
    earlier = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, earlier)
