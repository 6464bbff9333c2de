"""What a piece of code would ask of a GPU, counted on a CPU: operations, and waits of the host for the device.

Kernels run on as the host goes ahead, until the host needs a number: for the size of a result, for a value, or because
Python numbers go to the device in a tensor. Those places are known by their operations, whatever the device is.
"""

import sys
from collections import Counter
from pathlib import Path

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode

PACKAGE = str(Path(__file__).resolve().parents[1] / "maskrcnn_benchmark")

# The size or the value of what they return is in the data
WAITING = {
    *("_local_scalar_dense", "nonzero", "masked_select", "bincount", "_unique2", "unique_consecutive", "unique_dim"),
    *("equal", "nms"),
}
# What reads a tensor's memory, or brings Python numbers into a tensor, without an operation
READING = {torch.Tensor.tolist, torch.Tensor.numpy, torch.Tensor.cpu}
BRINGING = {torch.tensor, torch.as_tensor, torch.Tensor.new_tensor}
# Nothing runs on the device: views, allocations, and what is counted as a wait
FREE = {
    *("alias", "as_strided", "chunk", "detach", "diagonal", "expand", "expand_as", "narrow", "permute", "select", "slice"),
    *("split", "split_with_sizes", "squeeze", "t", "transpose", "unbind", "unfold", "unsqueeze", "unsafe_split", "view"),
    *("_reshape_alias", "_unsafe_view", "reshape", "view_as", "is_same_size", "_local_scalar_dense", "lift_fresh"),
    *("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided", "resize_", "detach_"),
}


class DeviceCounter(TorchDispatchMode):
    """A context that counts.

    Attributes:
        calls: `Counter` {operation: times} of what would be launched on the device.
        waits: `Counter` {(operation, "file:line" of the package): times}.
    """

    def __init__(self):
        super().__init__()
        self.calls, self.waits = Counter(), Counter()
        self._reads = _Reads(self)

    def __enter__(self):
        self._reads.__enter__()
        return super().__enter__()

    def __exit__(self, *exception):
        super().__exit__(*exception)
        self._reads.__exit__(*exception)

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = function._schema.name.split("::")[1]
        if name not in FREE:
            self.calls[name] += 1
        if name in WAITING or _indexes_by_mask(name, args) or _repeats_unknown_times(name, kwargs):
            self.wait(name)
        return function(*args, **kwargs)

    def wait(self, name):
        self.waits[name, _place()] += 1

    def report(self) -> str:
        """The waits, most frequent first, one a line."""
        return "\n".join(f"{times:4d} {name:20} {place}" for (name, place), times in self.waits.most_common())


class _Reads(TorchFunctionMode):
    def __init__(self, counter):
        super().__init__()
        self.counter = counter

    def __torch_function__(self, function, types, args=(), kwargs=None):
        brings = function in BRINGING and not any(isinstance(data, torch.Tensor) for data in args[-1:])
        if function in READING or brings:
            self.counter.wait(function.__name__)
        return function(*args, **(kwargs or {}))


def _indexes_by_mask(name, args):
    if name not in ("index", "index_put", "index_put_", "_index_put_impl_", "_unsafe_index"):
        return False
    masks = any(index is not None and index.dtype in (torch.bool, torch.uint8) for index in args[1])
    fills_with_one_number = name != "index" and args[2].numel() == 1
    return masks and not fills_with_one_number


def _repeats_unknown_times(name, kwargs):
    return name == "repeat_interleave" and kwargs.get("output_size") is None


def _place():
    frame = sys._getframe()
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith(PACKAGE):
            return f"{path.removeprefix(PACKAGE)[1:]}:{frame.f_lineno}"
        frame = frame.f_back
    return "elsewhere"
