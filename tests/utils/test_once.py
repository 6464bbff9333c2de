"""A notice is given once, whichever process of a run comes across its reason first."""

import multiprocessing

import pytest

from maskrcnn_benchmark.utils.once import OncePerRun


def test_a_kind_is_first_once():
    notices = OncePerRun("deep", "turned")
    assert [notices.is_first(kind) for kind in ("deep", "deep", "turned", "deep")] == [True, False, True, False]


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="workers are forked on POSIX")
def test_what_a_forked_worker_said_is_said():
    notices = OncePerRun("deep")
    worker = multiprocessing.get_context("fork").Process(target=notices.is_first, args=("deep",))
    worker.start()
    worker.join()
    assert not notices.is_first("deep")
