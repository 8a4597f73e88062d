import multiprocessing
import os
import signal

import pytest

from bitextmine.engines.worker_signals import (
    held_signals,
    leave_signals_to_parent,
    start_unsignalled,
)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGHUP])
def test_a_worker_does_not_notice_a_signal_that_comes_before_it_has_begun(
    number: signal.Signals,
) -> None:
    worker = multiprocessing.get_context("spawn").Process(target=leave_signals_to_parent)
    before = signal.pthread_sigmask(signal.SIG_BLOCK, ())
    start_unsignalled(worker)
    assert worker.pid is not None
    os.kill(worker.pid, number)
    worker.join(20)
    assert worker.exitcode == 0
    assert signal.pthread_sigmask(signal.SIG_BLOCK, ()) == before


def test_a_held_signal_arrives_when_the_step_is_done() -> None:
    steps: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        with held_signals():
            signal.raise_signal(signal.SIGINT)
            steps.append("done")
        steps.append("never")
    assert steps == ["done"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
