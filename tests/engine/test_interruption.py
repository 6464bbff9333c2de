"""Signals as a request."""

import os
import signal

import pytest

from maskrcnn_benchmark.engine.interruption import StopRequest
from maskrcnn_benchmark.utils.stop_signals import SIGNALS


@pytest.mark.parametrize("number", SIGNALS)
def test_the_first_signal_asks_and_the_second_acts(number):
    with pytest.raises(ZeroDivisionError), StopRequest() as stop:
        assert not stop.requested
        os.kill(os.getpid(), number)
        assert stop.requested
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
        raise ZeroDivisionError


def test_the_former_handlers_are_back_afterwards():
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopRequest():
        assert signal.getsignal(signal.SIGTERM) != before[1]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before


def test_a_forked_worker_ignores_ctrl_c_and_dies_of_terminate():
    with StopRequest() as stop:
        child = os.fork()
        if child == 0:
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGTERM)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert os.WTERMSIG(status) == signal.SIGTERM and not stop.requested
