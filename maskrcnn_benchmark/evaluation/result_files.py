"""Detections, masks and joints as files in COCO's result format, for any tool that reads COCO, and its own summary."""

import json
from pathlib import Path

from maskrcnn_benchmark.evaluation.coco_style import CocoStyleEvaluator
from maskrcnn_benchmark.utils.miscellaneous import atomic_write

SUMMARY = "coco_summary.txt"


def write_result_files(evaluators, dataset, folder):
    """Write `bbox.json`, `segm.json` and `keypoints.json` of the tasks that were evaluated, as the original does.

    Args:
        evaluators: {task key: evaluator that knows all images by their index in the data set}.
        dataset: its `contiguous_category_id_to_json_id` gives the categories' ids, its `id_to_img_map` or
            `get_img_info(index)["image_id"]` the images'. Without the former (PASCAL in Detail) labels count from 1.
        folder: where to.
    """
    for evaluator in evaluators.values():
        if not isinstance(evaluator, CocoStyleEvaluator):
            continue
        rows = [
            {"image_id": image_id(dataset, index), **row, "category_id": category_id(dataset, row["category_id"])}
            for index, row in evaluator.result_rows()
        ]
        with atomic_write(Path(folder) / f"{evaluator.iou_type}.json") as file:
            file.write(json.dumps(rows, allow_nan=False).encode())


def write_summary(evaluators, folder):
    """Write what pycocotools prints about each kind of answer into one text file; nothing where it printed nothing."""
    text = "".join(f"{kind}\n{summary}\n" for kind, summary in summaries(evaluators).items())
    if text:
        with atomic_write(Path(folder) / SUMMARY) as file:
            file.write(text.encode())


def summaries(evaluators):
    """{pycocotools' name of the kind of answer: its own lines on it}, where it had something to say."""
    coco = [e for e in evaluators.values() if isinstance(e, CocoStyleEvaluator)]
    return {e.iou_type: e.scores.text for e in coco if e.scores is not None and e.scores.text}


def image_id(dataset, index):
    """What the data set's file calls the image at an index."""
    if hasattr(dataset, "id_to_img_map"):
        return dataset.id_to_img_map[index]
    return dataset.get_img_info(index).get("image_id", index)


def category_id(dataset, label):
    """What the data set's file calls a label, or the label itself where the file has no numbers of its own."""
    return getattr(dataset, "contiguous_category_id_to_json_id", {}).get(label, label)
