"""Fixtures of these tests."""
import signal

import pytest


@pytest.fixture
def default_ctrl_c():
    """Ctrl-C as in a program that begins, also where the tests run in the background, and as before behind the test."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)
