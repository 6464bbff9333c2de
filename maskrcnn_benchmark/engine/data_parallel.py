"""Data-parallel training by plain collectives, made for partial labels.

A rank without a task, or without any loss, joins in with zeros instead of failing or hanging the others. Several
processes each run their share of the batch; `GradientAverage` makes their gradients equal.
"""

import contextlib
import weakref
from collections.abc import Iterable, Iterator, Sequence
from functools import partial
from typing import Any

import torch
import torch.distributed as dist
from torch import nn

from maskrcnn_benchmark.utils.comm import BUCKET_BYTES, buckets_of, get_world_size

ALIGNMENT = 16  # bytes; where each gradient begins in its buffer, for operations that read several numbers at once


class GradientAverage:
    """Replaces gradients by their means over all processes while the backward pass is still running.

    Neighbouring parameters share a buffer of some megabytes. As soon as the last of their gradients is there, they are
    copied into it, its sum over all processes is begun, and the backward pass goes on; from then on the parameters'
    `grad` are views of the buffer, so that nothing is copied back.

    All processes must communicate about the same buffers in the same order, but their gradients come in another order,
    or not at all where a process lacks a task's labels. So buffers wait for their turn, and those that are incomplete
    at the end of the backward pass are sent then, with zeros for what is missing.

    A step is `begin`, `last_pass` around the pass that completes the gradients (which may be left out: then nothing
    is sent before the end), `send_rest`, and after `wait` or any operation on the device `leave_unused`.

    Args:
        groups: lists of parameters, the same in all processes, in the order in which the network uses them. Those of
            two groups never share a buffer.
        overlaps: False sends nothing before the end of the backward pass.
        bucket_bytes: size of a buffer, unless one parameter alone is larger.
    """

    def __init__(
        self, groups: Iterable[Sequence[nn.Parameter]], overlaps: bool = True, bucket_bytes: int = BUCKET_BYTES
    ) -> None:
        self.overlaps = overlaps
        # gradients come from the end of the network to its beginning
        self.buckets = [
            _Bucket(parameters)  # type: ignore[arg-type]
            for group in groups
            for parameters in buckets_of(reversed(group), bucket_bytes)
        ]
        self._bucket_of = {id(p): bucket for bucket in self.buckets for p in bucket.parameters}
        self._is_last_pass = False
        self._sent = 0
        # the parameters outlive it, and so would its buffers if their hooks held it
        hook = partial(_tell, weakref.WeakMethod(self._arrived))
        handles = [
            parameter.register_post_accumulate_grad_hook(hook)
            for bucket in self.buckets
            for parameter in bucket.parameters
        ]
        weakref.finalize(self, _remove, handles)

    def begin(self) -> None:
        """Begin a step; no parameter has a gradient yet."""
        self._sent = 0
        for bucket in self.buckets:
            bucket.begin()

    @contextlib.contextmanager
    def last_pass(self, complete: Iterable[nn.Parameter]) -> Iterator[None]:
        """Around the backward pass after which no gradient changes any more.

        Args:
            complete: iterable of the parameters that it cannot reach, so that their gradients are complete already.
        """
        if not self.overlaps:
            yield
            return
        for parameter in complete:
            self._note(parameter)
        self._is_last_pass = True
        try:
            self._send_complete()
            yield
        finally:
            self._is_last_pass = False

    def send_rest(self, settled: Iterable[nn.Parameter] = ()) -> None:
        """Send what has not been sent, a missing gradient counting as zero.

        Args:
            settled: iterable of parameters whose gradients are none of this step's business, the same in all processes;
                whole groups.
        """
        left_out = {id(p) for p in settled}
        for bucket in self.buckets[self._sent :]:
            if id(bucket.parameters[0]) not in left_out:
                bucket.send()
        self._sent = len(self.buckets)

    def wait(self) -> None:
        """Wait for the means; on a GPU only its own queue does."""
        for bucket in self.buckets:
            bucket.wait()

    def present(self) -> list[bool]:
        """For each parameter in the order of the buffers, whether this process had a gradient: list of bool."""
        return [has for bucket in self.buckets for has in bucket.present]

    def leave_unused(self, present: Iterable[bool]) -> None:
        """Take the gradient from the parameters that no process used: momentum and decay then leave them alone.

        Args:
            present: what `present` returned, true where it is in any process.
        """
        owners = [(bucket, parameter) for bucket in self.buckets for parameter in bucket.parameters]
        for (bucket, parameter), has in zip(owners, present):
            if bucket.is_sent and not has:
                parameter.grad = None

    def _arrived(self, parameter):
        if not self._is_last_pass:
            return
        if self._bucket_of[id(parameter)].is_sent:
            raise RuntimeError("a gradient changed after it had been sent to the other processes")
        self._note(parameter)
        self._send_complete()

    def _note(self, parameter):
        bucket = self._bucket_of.get(id(parameter))
        if bucket is not None:
            bucket.missing.discard(id(parameter))

    def _send_complete(self):
        while self._sent < len(self.buckets) and not self.buckets[self._sent].missing:
            self.buckets[self._sent].send()
            self._sent += 1


def _tell(arrived, parameter):
    """Hook of a parameter; `arrived` is a weak reference to a method, which lives as long as the hook."""
    arrived()(parameter)


def _remove(handles):
    for handle in handles:
        handle.remove()


class _Bucket:
    """Parameters of the same type and device, and one buffer for their gradients."""

    def __init__(self, parameters: Sequence[nn.Parameter]) -> None:
        self.parameters = parameters
        step = max(1, ALIGNMENT // parameters[0].element_size())
        starts, end = [], 0
        for parameter in parameters:
            starts.append(end)
            end += -(-parameter.numel() // step) * step
        self.buffer = torch.zeros(end, dtype=parameters[0].dtype, device=parameters[0].device)
        self.views = [_view_like(self.buffer, start, p) for start, p in zip(starts, parameters)]
        self.begin()

    def begin(self) -> None:
        self.missing = {id(p) for p in self.parameters}
        self.present = [False] * len(self.parameters)
        self.is_sent = False
        self._work: dist.Work | None = None

    def send(self) -> None:
        self.present = [p.grad is not None for p in self.parameters]
        self.is_sent = True
        with torch.no_grad():
            if not all(self.present):
                self.buffer.zero_()
            if any(self.present):
                views = [view for view, has in zip(self.views, self.present) if has]
                torch._foreach_copy_(views, [p.grad for p in self.parameters if p.grad is not None])
            self.buffer /= get_world_size()
            self._work = dist.all_reduce(self.buffer, async_op=True)
        for parameter, view in zip(self.parameters, self.views):
            parameter.grad = view

    def wait(self) -> None:
        if self._work is not None:
            self._work.wait()
            self._work = None


def _view_like(buffer, start, parameter):
    """The part of a buffer that begins at `start`, in the parameter's shape and, if it is dense, in its layout."""
    expected, is_dense = 1, True
    for stride, size in sorted(zip(parameter.stride(), parameter.shape)):
        if size > 1:
            is_dense, expected = is_dense and stride == expected, expected * size
    if is_dense:
        return buffer.as_strided(parameter.shape, parameter.stride(), start)
    return buffer[start : start + parameter.numel()].view(parameter.shape)


def has_synchronized_norms(model: nn.Module) -> bool:
    """Whether layers of a model communicate in the backward pass themselves."""
    return any(isinstance(module, nn.SyncBatchNorm) for module in model.modules())


class JointBackward:
    """Has the backward pass go through every synchronised norm that the forward pass went through, in all processes.

    Whether a loss reaches a norm depends on what a process's images are annotated for, and on where its regions lie;
    one that it does not reach would keep the others waiting. So each micro-batch's losses are added a zero that is made
    of all these norms' results, through which no gradient comes.

    Args:
        model: the network; it is watched from now on.
    """

    def __init__(self, model: nn.Module) -> None:
        self._results: list[torch.Tensor] = []
        for module in model.modules():
            if isinstance(module, nn.SyncBatchNorm):
                module.register_forward_hook(self._note)

    def begin(self) -> None:
        """Before the forward pass of a micro-batch."""
        self._results.clear()

    def zero(self) -> torch.Tensor | None:
        """After it: a zero to be added to the losses, once; None where no synchronised norm has to do with them."""
        results = [result for result in self._results if result.requires_grad]
        self._results.clear()
        return _Zero.apply(*results) if results else None

    def _note(self, module: nn.Module, inputs: object, result: torch.Tensor) -> None:
        self._results.append(result)


class _Zero(torch.autograd.Function):
    """0, made of tensors to which it gives no gradient."""

    @staticmethod
    def forward(context: Any, *tensors: torch.Tensor) -> torch.Tensor:
        context.count = len(tensors)
        return torch.zeros((), device=tensors[0].device)

    @staticmethod
    def backward(context: Any, gradient: torch.Tensor) -> tuple[None, ...]:  # type: ignore[override]
        return (None,) * context.count


def broadcast_state(*modules: nn.Module) -> None:
    """Give all ranks the parameters and buffers of rank 0."""
    if get_world_size() == 1:
        return
    with torch.no_grad():
        for module in modules:
            for tensor in (*module.parameters(), *module.buffers()):
                message = tensor.detach().contiguous()
                dist.broadcast(message, 0)
                tensor.copy_(message)


def synchronize_batch_norm(model: nn.Module, device: torch.device | str) -> nn.Module:
    """Make the backbone's trainable batch norms take their statistics over all ranks, where PyTorch can: on CUDA.

    Only the backbone is converted, since it runs on every rank in every step; those of other parts are as the config
    has them ("BN" or "SyncBN").
    """
    if get_world_size() > 1 and torch.device(device).type == "cuda":
        for parent in list(model.backbone.modules()):  # type: ignore[union-attr]
            for name, norm in parent.named_children():
                if isinstance(norm, nn.modules.batchnorm._BatchNorm) and not isinstance(norm, nn.SyncBatchNorm):
                    setattr(parent, name, nn.SyncBatchNorm.convert_sync_batchnorm(norm))
    return model


def average_batch_norm_statistics(model: nn.Module) -> None:
    """Replace the running statistics of batch norms by their mean over all ranks, before they are saved or tested."""
    if get_world_size() == 1:
        return
    for module in model.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm) and module.track_running_stats:
            for statistic in (module.running_mean, module.running_var):
                dist.all_reduce(statistic)  # type: ignore[arg-type]
                statistic.div_(get_world_size())  # type: ignore[union-attr]
