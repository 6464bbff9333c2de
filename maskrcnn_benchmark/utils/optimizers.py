"""Adam and AdamW as PyTorch has them, except that on a CPU they leave CUDA alone."""

import torch


class _NoDeviceOnCpu:
    """Before each step PyTorch asks the machine's GPU whether a graph is captured, wherever the parameters are.

    Where all of them are on the CPU the question has one answer, and asking it would start CUDA on a machine that has
    it, some hundred megabytes of a GPU that this process does not use.
    """

    def _accelerator_graph_capture_health_check(self):
        if any(p.device.type != "cpu" for group in self.param_groups for p in group["params"]):
            super()._accelerator_graph_capture_health_check()


class Adam(_NoDeviceOnCpu, torch.optim.Adam):
    pass


class AdamW(_NoDeviceOnCpu, torch.optim.AdamW):
    pass
