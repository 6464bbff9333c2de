"""The exponential moving average of a network's weights, which mostly predicts better than those of the last step."""

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from maskrcnn_benchmark.utils.resume_state import check_module_state


class WeightAverage:
    """Averages what training changes of a network: trained parameters and buffers of floating numbers.

    After the n-th step `average = d * average + (1 - d) * weights` with d = min(decay, (1 + n) / (10 + n)): it reaches
    back over a tenth of the steps so far until the decay takes over, so that the random weights of the beginning are
    soon forgotten and short trainings have an average that means something (the warm-up of TensorFlow's
    `tf.train.ExponentialMovingAverage` by its `num_updates`). What is frozen, and
    buffers that count, are the network's own.

    Args:
        model: the network, with `requires_grad` as it will be trained. Its weights now are where the average begins.
        decay: in 0..1, not 1.

    Attributes:
        updates: steps that are in the average.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        self.model = model.module if isinstance(model, DistributedDataParallel) else model
        self.decay = decay
        self.updates = 0
        trained = [parameter for parameter in self.model.parameters() if parameter.requires_grad]
        self._weights = [*trained, *(buffer for buffer in self.model.buffers() if buffer.is_floating_point())]
        self._averages = [weight.detach().clone() for weight in self._weights]

    @torch.no_grad()
    def update(self) -> None:
        """Take in the weights after a step that has moved them."""
        self.updates += 1
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates))
        torch._foreach_lerp_(self._averages, self._weights, 1 - decay)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Within this block the network has the averages for its weights; nothing is copied."""
        self._exchange()
        try:
            yield
        finally:
            self._exchange()

    def _exchange(self):
        for place, weight in enumerate(self._weights):
            weight.data, self._averages[place] = self._averages[place], weight.data

    def state_dict(self) -> dict[str, torch.Tensor]:
        """{name: tensor}: the state dict with the averages, which are not copied: the next update changes them."""
        with self.applied():
            return self.model.state_dict()

    def load_state_dict(self, state: Any, updates: int) -> None:
        """Go on from what `state_dict` returned after so many updates.

        Raises `Unfit` or RuntimeError for what is none of this network's.
        """
        check_module_state(state, self.model)
        with self.applied():
            self.model.load_state_dict(state)
        self.updates = updates
