"""Items come in order from another thread, and so do errors; whoever stops early leaves no thread behind."""

import itertools
import threading

import pytest

from maskrcnn_benchmark.predict.prefetch import prefetch


def counted(count, closed=None):
    try:
        yield from range(count)
    finally:
        if closed is not None:
            closed.append(threading.current_thread())


@pytest.mark.parametrize("count", [1, 3, 100])
def test_all_items_in_order(count):
    assert list(prefetch(counted(20), count)) == list(range(20))
    assert list(prefetch(counted(0), count)) == []


def test_an_error_comes_where_its_item_would_have_come():
    def failing():
        yield 1
        raise ValueError("the second")

    items = prefetch(failing(), 2)
    assert next(items) == 1
    with pytest.raises(ValueError, match="the second"):
        next(items)


def test_stopping_early_ends_the_thread_and_closes_the_iterator():
    before, closed = threading.active_count(), []
    items = prefetch(counted(1000, closed), 2)
    assert list(itertools.islice(items, 3)) == [0, 1, 2]
    items.close()
    assert threading.active_count() == before and len(closed) == 1


def test_stopping_is_not_held_up_by_an_item_that_never_comes(monkeypatch):
    monkeypatch.setattr("maskrcnn_benchmark.predict.prefetch._SECONDS_TO_END", 0.1)
    never = threading.Event()

    def waiting():
        yield 1
        never.wait()

    items = prefetch(waiting(), 1)
    assert next(items) == 1
    items.close()
    never.set()


def test_no_more_than_asked_are_made_in_advance():
    made = []

    def noted():
        for k in range(50):
            made.append(k)
            yield k

    items = prefetch(noted(), 2)
    for k in range(10):
        assert next(items) == k
        assert len(made) <= k + 1 + 2 + 2  # those given, those that wait, one in the making
    items.close()
