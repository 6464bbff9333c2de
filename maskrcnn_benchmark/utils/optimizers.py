"""Adam and AdamW as PyTorch has them, except that on a CPU they leave CUDA alone."""

import torch


class _NoDeviceOnCpu:
    """Before each step PyTorch asks the machine's GPU whether a graph is captured, wherever the parameters are.

    Where all of them are on the CPU the question has one answer, and asking it would start CUDA on a machine that has
    it, some hundred megabytes of a GPU that this process does not use.
    """

    # PyTorch's own name for the question, by version, is not public: each of the two is overridden, and the one that a
    # version does not know is never called
    def _accelerator_graph_capture_health_check(self):
        if self._is_on_a_device():
            super()._accelerator_graph_capture_health_check()

    def _cuda_graph_capture_health_check(self):  # that of PyTorch 2.9
        if self._is_on_a_device():
            super()._cuda_graph_capture_health_check()

    def _is_on_a_device(self):
        return any(p.device.type != "cpu" for group in self.param_groups for p in group["params"])


class Adam(_NoDeviceOnCpu, torch.optim.Adam):
    pass


class AdamW(_NoDeviceOnCpu, torch.optim.AdamW):
    pass
