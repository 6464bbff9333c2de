"""One network for the eight tasks of PASCAL in Detail, on a pure-Python maskrcnn-benchmark."""

__version__ = "0.1.0"
