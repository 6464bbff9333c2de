"""The one decorator of what is compiled for speed, with a cache that no disk can turn into an error."""

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from numba import njit
from numba.core.caching import FunctionCache

F = TypeVar("F", bound=Callable)


def compiled(function: F) -> F:
    """numba's `njit` of a function that takes arrays and numbers; other threads run while it does.

    Machine code is kept beside the module, else in the user's cache (`utils.cache_folder`), so that later processes
    need not compile. Where there is no place for it, or a disk is full or holds damaged code, each process compiles.
    """
    dispatcher: Any = njit(nogil=True)(function)
    with contextlib.suppress(RuntimeError):  # no folder can be written to
        dispatcher._cache = _Cache(function)  # what `cache=True` does, but with `_Cache` in place of its parent
    return dispatcher


class _Cache(FunctionCache):
    def load_overload(self, sig, target_context):
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a power failure, another's permissions: unpickling raises nearly anything
            return None

    def save_overload(self, sig, data):
        try:
            super().save_overload(sig, data)
        except Exception:  # as an index that is damaged is read again before it is written
            self.disable()
