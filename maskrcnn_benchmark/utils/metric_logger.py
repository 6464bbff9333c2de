"""Running statistics of the numbers that a loop produces."""

from collections import defaultdict, deque

import torch


class SmoothedValue:
    """The last `window_size` values of a series, and the sum of all of it."""

    def __init__(self, window_size: int = 20) -> None:
        self.deque: deque[float] = deque(maxlen=window_size)
        self.total = 0.0
        self.count = 0

    def update(self, value: float) -> None:
        """Append one number."""
        self.deque.append(value)
        self.count += 1
        self.total += value

    @property
    def median(self) -> float:
        """Median of the window; of an even number of values the lower of the two in the middle."""
        return torch.tensor(list(self.deque), dtype=torch.float64).median().item()

    @property
    def avg(self) -> float:
        """Mean of the window."""
        return sum(self.deque) / len(self.deque)

    @property
    def global_avg(self) -> float:
        """Mean of the whole series."""
        return self.total / self.count


class MetricLogger:
    """Named `SmoothedValue`s: `update(loss=1.5)` feeds one, and it is read as the attribute `loss`."""

    def __init__(self, delimiter: str = "\t") -> None:
        self.meters: defaultdict[str, SmoothedValue] = defaultdict(SmoothedValue)
        self.delimiter = delimiter

    def update(self, **kwargs: float | torch.Tensor) -> None:
        """Append one number, or scalar tensor, to each named series."""
        for name, value in kwargs.items():
            if isinstance(value, torch.Tensor):
                value = value.item()
            if not isinstance(value, int | float):
                raise TypeError(f"meter {name!r} takes numbers, not {type(value).__name__}")
            self.meters[name].update(value)

    def __getattr__(self, name: str) -> SmoothedValue:
        # __dict__ is read directly: before __init__ has run, self.meters would come back here for ever
        meters = self.__dict__.get("meters", {})
        if name in meters:
            return meters[name]
        raise AttributeError(f"{type(self).__name__} has no meter {name!r}; it has {sorted(meters)}")

    def __str__(self) -> str:
        return self.delimiter.join(f"{n}: {m.median:.4f} ({m.global_avg:.4f})" for n, m in self.meters.items())
