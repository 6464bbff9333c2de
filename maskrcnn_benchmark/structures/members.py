"""Attributes that stand for the entries of a dictionary."""

from typing import Any


def member_of(holder: str, key: str) -> Any:
    """A property for the entry `key` of the dictionary in the attribute `holder`: None where there is none.

    Setting it to None removes the entry.
    """

    def get(self: Any) -> Any:
        return getattr(self, holder).get(key)

    def put(self: Any, value: Any) -> None:
        if value is None:
            getattr(self, holder).pop(key, None)
        else:
            getattr(self, holder)[key] = value

    return property(get, put)
