"""What pycocotools prints about boxes, masks and keypoints, collected and written down."""

import os
from collections.abc import Mapping
from pathlib import Path

from maskrcnn_benchmark.evaluation.coco.style import CocoStyleEvaluator
from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.utils.files import atomic_write

SUMMARY = "coco_summary.txt"


def write_summary(evaluators: Mapping[str, Evaluator], folder: str | os.PathLike) -> None:
    """Write what pycocotools prints about each kind of prediction into one text file, if it printed anything."""
    text = "".join(f"{kind}\n{summary}\n" for kind, summary in summaries(evaluators).items())
    if text:
        with atomic_write(Path(folder) / SUMMARY) as file:
            file.write(text.encode())


def summaries(evaluators: Mapping[str, Evaluator]) -> dict[str, str]:
    """{pycocotools' name of the kind of prediction: its own lines on it}, where it had something to say."""
    coco = [e for e in evaluators.values() if isinstance(e, CocoStyleEvaluator)]
    return {e.iou_type: e.scores.text for e in coco if e.scores is not None and e.scores.text}
