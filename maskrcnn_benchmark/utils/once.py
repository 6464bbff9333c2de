"""Notices that are given once per run, however many worker processes come across their reason."""

import mmap


class OncePerRun:
    """Remembers which notices were given, in memory that worker processes forked from this one share.

    Args:
        kinds: of notices.
    """

    def __init__(self, *kinds: str) -> None:
        self._places = {kind: place for place, kind in enumerate(kinds)}
        self._given = mmap.mmap(-1, max(1, len(kinds)))

    def is_first(self, kind: str) -> bool:
        """Whether a notice of this kind was not given yet; it counts as given from now on."""
        place = self._places[kind]
        is_first = not self._given[place]
        self._given[place] = 1
        return is_first
