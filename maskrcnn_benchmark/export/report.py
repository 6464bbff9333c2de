"""The differences between a network and its exported file, as lines of text."""

from collections.abc import Iterator, Sequence

from maskrcnn_benchmark.export.parity import Parity
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.text import counted

MOST_FAULTS = 10


def report_lines(
    parity: Parity, sizes: Sequence[tuple[int, int]], network_seconds: float, file_seconds: float
) -> Iterator[str]:
    """Lines about a check.

    Args:
        parity: the `Parity` of all images.
        sizes: (width, height) of each image, as the network sees it.
        network_seconds, file_seconds: medians per image.
    """
    yield f"largest differences on {counted(len(sizes), 'image')} ({', '.join(f'{w}x{h}' for w, h in sizes)}):"
    for key, difference in parity.tasks.items():
        numbers = ", ".join(f"{name} {value:.1e}" for name, value in difference.largest.items())
        yield f"  {TASKS[key].title:<22} {numbers}  ({difference.compared} compared)"
    yield f"an image takes {network_seconds * 1e3:.0f} ms in PyTorch, {file_seconds * 1e3:.0f} ms in the file (medians)"
    for fault in parity.faults[:MOST_FAULTS]:
        yield f"DIFFERENT {fault}"
    if len(parity.faults) > MOST_FAULTS:
        yield f"... and {len(parity.faults) - MOST_FAULTS} more"
