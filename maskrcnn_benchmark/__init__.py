"""One network for the eight tasks of PASCAL in Detail, on a pure-Python maskrcnn-benchmark."""

from typing import Any

from maskrcnn_benchmark.utils.cache_folder import choose_cache_folder
from maskrcnn_benchmark.utils.stop_signals import end_at_once_in_tools
from maskrcnn_benchmark.utils.threads import choose_threads

__version__ = "0.1.0"
__all__ = ["Predictor", "__version__"]

end_at_once_in_tools()  # first: what a tool imports next takes seconds
choose_cache_folder()  # before numba and matplotlib look for one
choose_threads()  # here, for every tool imports this package before PyTorch, which reads it once


def __getattr__(name: str) -> Any:
    if name == "Predictor":  # late: whoever trains need not wait for it
        from maskrcnn_benchmark.predict.predictor import Predictor

        return Predictor
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
