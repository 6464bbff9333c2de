"""The evaluation of all tasks: beside pycocotools, per image, and for a set of the size of PASCAL in Detail's val."""

import contextlib
import io
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from pycocotools import mask as run_length
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from benchmarks.evaluation_data import imperfect_answers, write_annotations
from benchmarks.memory import PeakMemory
from benchmarks.photograph_scenes import SIZE
from benchmarks.timing import format_table, medians, take_turns
from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.engine.inference import Evaluation
from maskrcnn_benchmark.engine.score_files import score_files
from maskrcnn_benchmark.evaluation.coco.rows import FILE_ROWS
from maskrcnn_benchmark.evaluation.dense.confusion import count_pairs
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.prediction_files.reader import PredictionReader, find_predictions
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.panoptic_map import PanopticClasses, PanopticMap
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.panoptic import PANOPTIC
from maskrcnn_benchmark.tasks.task import tasks_of_layout

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

VAL_IMAGES = 5105  # of PASCAL-Context, whose split PASCAL in Detail's val is compared on
CLASSES = 80
KINDS = {"detection": ("bbox", "bbox"), "instance": ("segm", "segmentation"), "keypoint": ("keypoints", "keypoints")}
_DISTINCT_MASKS = 300
_DISTINCT_SCENES = 100


def measure(args):
    """Time the three comparisons with pycocotools, boundaries and confusion, and the whole. Returns the dictionary."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        per_image = measure_images(folder, max(args.rounds, 20))
        whole = measure_whole(folder, args.images, args.workers)
    return {**measure_beside_pycocotools(args), **per_image, **whole}


def measure_beside_pycocotools(args):
    """Our evaluators and pycocotools on the same rows, from dictionaries in memory to the twelve numbers."""
    content = {task: coco_set(task, args.coco_images) for task in KINDS}
    figures = {}

    def ours(task):
        figures[f"{task}, ours"] = score_by_us(task, *content[task])

    def theirs(task):
        figures[f"{task}, pycocotools"] = score_by_pycocotools(task, *content[task])

    actions = {}
    for task in KINDS:
        actions[f"{task}, ours"] = lambda turn, task=task: ours(task)
        actions[f"{task}, pycocotools"] = lambda turn, task=task: theirs(task)
    for task in KINDS:  # compiled before it is timed
        score_by_us(task, *coco_set(task, 20))
    seconds = take_turns(actions, args.rounds, 0)
    print(format_table(seconds))
    median = medians(seconds)
    ratios = {task: median[f"{task}, ours"] / median[f"{task}, pycocotools"] for task in KINDS}
    difference = max(float(np.abs(figures[f"{task}, ours"] - figures[f"{task}, pycocotools"]).max()) for task in KINDS)
    total = sum(median[f"{t}, ours"] for t in KINDS) / sum(median[f"{t}, pycocotools"] for t in KINDS)
    for task, ratio in ratios.items():
        print(f"{task}: {ratio:.3f} of pycocotools' time on {args.coco_images} images")
    print(f"all three: {total:.3f} of pycocotools' time, largest difference {difference:g}")
    return {
        "coco_time_ratio_vs_pycocotools": total,
        "coco_time_ratios": ratios,
        "coco_max_abs_difference": difference,
        "coco_images": args.coco_images,
        "seconds": median,
    }


def coco_set(task, count):
    """Rows of a made-up set: (annotations, answers), each a list of COCO dictionaries of images 1..count."""
    rng = np.random.default_rng(0)
    key = KINDS[task][1]
    masks = _masks(rng) if task == "instance" else None
    annotations, answers = [], []
    for image in range(1, count + 1):
        truth = [_object(rng, task, masks) for _ in range(rng.poisson(7 if task != "keypoint" else 2))]
        for entry in truth:
            annotations.append({**entry, "image_id": image, "id": len(annotations) + 1, "iscrowd": 0})
        for _ in range(rng.integers(30, 101) if task != "keypoint" else rng.integers(1, 21)):
            found = truth[rng.integers(len(truth))] if truth and rng.random() < 0.5 else _object(rng, task, masks)
            value = found[key] if task == "instance" else (np.array(found[key]) + rng.normal(0, 4, len(found[key])))
            value = value if task == "instance" else np.abs(value).tolist()
            score = float(rng.random())
            answers.append({"image_id": image, "category_id": found["category_id"], key: value, "score": score})
    return annotations, answers


def _object(rng, task, masks):
    x, y = rng.uniform(0, 400), rng.uniform(0, 300)
    width, height = rng.uniform(8, 200), rng.uniform(8, 150)
    entry = {"category_id": 1 + int(CLASSES * rng.random() ** 3), "bbox": [x, y, width, height], "area": width * height}
    if task == "instance":
        entry["segmentation"] = masks[rng.integers(len(masks))]
        entry["area"] = float(run_length.area(entry["segmentation"]))
        entry["bbox"] = run_length.toBbox(entry["segmentation"]).tolist()
    if task == "keypoint":
        joints = np.column_stack([x + width * rng.random(17), y + height * rng.random(17), rng.integers(0, 3, 17)])
        entry.update(category_id=1, keypoints=joints.reshape(-1).tolist(), num_keypoints=int((joints[:, 2] > 0).sum()))
    return entry


def _masks(rng):
    """Run lengths of ellipses, as many as will not look alike."""
    y, x = np.mgrid[: SIZE[1], : SIZE[0]]
    masks = []
    for _ in range(_DISTINCT_MASKS):
        middle, reach = rng.uniform(0, 1, 2) * SIZE, rng.uniform(5, 120, 2)
        inside = ((x - middle[0]) / reach[0]) ** 2 + ((y - middle[1]) / reach[1]) ** 2 < 1
        inside[int(middle[1]) % SIZE[1], int(middle[0]) % SIZE[0]] = True
        masks.append(run_length.encode(np.asfortranarray(inside, dtype=np.uint8)))
    return masks


def score_by_us(task, annotations, answers):
    """Our figures in pycocotools' order."""
    names = ("person",) if task == "keypoint" else tuple(f"class {k}" for k in range(1, CLASSES + 1))
    evaluator = TASKS[task].build_evaluator(Vocabulary(thing_names=names, joints=COCO_JOINTS), Protocols())
    true_rows, rows = _by_image(annotations), _by_image(answers)
    for image in sorted(true_rows.keys() | rows.keys()):
        target = _target(task, true_rows.get(image, []), image)
        evaluator.process([{task: rows.get(image, [])}], [target])
    metrics = evaluator.evaluate()
    order = sorted(evaluator.stats, key=evaluator.stats.get)
    return np.nan_to_num([metrics[name] for name in order], nan=-1)


def _by_image(rows):
    grouped = {}
    for row in rows:
        grouped.setdefault(row["image_id"], []).append(row)
    return grouped


def _target(task, rows, image):
    """`ImageAnnotations` of a file's rows, as a COCODataset makes them for evaluation."""
    boxes = torch.tensor([row["bbox"] for row in rows], dtype=torch.float32).reshape(-1, 4)
    boxes = BoxList(boxes, SIZE, mode="xywh").convert("xyxy")
    boxes.add_field("labels", torch.tensor([row["category_id"] for row in rows], dtype=torch.int64))
    boxes.add_field(FILE_ROWS, rows)
    return ImageAnnotations(SIZE, **{"people" if task == "keypoint" else "instances": boxes}, image_id=image)


def score_by_pycocotools(task, annotations, answers):
    images = range(1, 1 + max(row["image_id"] for row in answers))
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO()
        truth.dataset = {
            "images": [{"id": image, "width": SIZE[0], "height": SIZE[1]} for image in images],
            "categories": [{"id": k} for k in range(1, CLASSES + 1)],
            "annotations": [dict(row) for row in annotations],
        }
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes([dict(row) for row in answers]), KINDS[task][0])
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return evaluation.stats


def measure_images(folder, rounds):
    """Boundaries at 99 thresholds, and confusion of semantic and part maps: medians over made-up images."""
    dataset, answers = _set(folder / "few", rounds)
    boundary = TASKS["boundary"].build_evaluator(Vocabulary(), Protocols())
    targets = [dataset.get_annotations(index) for index in range(rounds)]
    classes = len(dataset.vocabulary.semantic_names)
    parts = len(dataset.vocabulary.parts) + 1
    part_maps = [_part_map(target) for target in targets]
    panoptic = PANOPTIC.build_evaluator(dataset.vocabulary, Protocols())
    segments = [_imperfect_segments(target, dataset.vocabulary) for target in targets]
    actions = {
        "boundary": lambda turn: boundary.score(answers[turn], targets[turn]),
        "confusion, semantic": lambda turn: count_pairs(
            targets[turn].semantic.labels.numpy(), answers[turn]["semantic"], classes
        ),
        "confusion, part": lambda turn: count_pairs(part_maps[turn], answers[turn]["part"].labels, parts),
        "panoptic": lambda turn: panoptic.record(segments[turn], targets[turn]),
    }
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    seconds = take_turns(actions, rounds, 1)
    torch.set_num_threads(threads)
    print(format_table(seconds))
    median = medians(seconds)
    edges = [int(target.boundary.edges.sum()) for target in targets]
    return {
        "boundary_seconds_per_image": median["boundary"],
        "boundary_seconds_slowest": max(seconds["boundary"]),
        "boundary_edge_pixels": float(np.median(edges)),
        "confusion_ms_per_image": 1000 * max(median["confusion, semantic"], median["confusion, part"]),
        "panoptic_ms_per_image": 1000 * median["panoptic"],
    }


def _imperfect_segments(target, vocabulary):
    """The annotated segments, some pixels aside."""
    found = PanopticMap.of_annotations(target, PanopticClasses.of(vocabulary))
    moved = PanopticMap(np.roll(found.ids, 7, axis=1), found.classes, found.objects, found.scores, found.is_crowd)
    return moved.without_empty()


def _part_map(target):
    if not target.instances.has_field("parts"):
        return np.zeros(SIZE[::-1], np.uint8)
    return target.instances.get_field("parts").labels.amax(dim=0).numpy()


def _set(folder, count):
    """A made-up data set of `count` different images and its answers."""
    folder.mkdir()
    write_annotations(folder / "annotations.json", count, count)
    dataset = DetailDataset(folder / "annotations.json", None, "val", None, "person6")
    rng = np.random.default_rng(0)
    return dataset, [imperfect_answers(dataset.get_annotations(i), dataset.vocabulary, rng) for i in range(count)]


def measure_whole(folder, count, workers):
    """Every metric of every task from files: minutes for `VAL_IMAGES`, and the memory of the largest process."""
    distinct = min(count, _DISTINCT_SCENES)
    annotations, predictions = folder / "annotations.json", folder / "predictions"
    write_annotations(annotations, count, distinct)
    dataset = DetailDataset(annotations, None, "val", None, "person6")
    rng = np.random.default_rng(0)
    scenes = [imperfect_answers(dataset.get_annotations(i), dataset.vocabulary, rng) for i in range(distinct)]
    for i, scene in enumerate(scenes):
        scene["panoptic"] = _imperfect_segments(dataset.get_annotations(i), dataset.vocabulary)
    tasks = list(TASKS)
    with PredictionWriter(predictions, dataset, [*TASKS.values(), PANOPTIC]) as writer:
        for index in range(count):
            writer.write(index, scenes[index % distinct])
        writer.finish()
    del scenes
    with PeakMemory() as memory:
        start = time.perf_counter()
        reader = PredictionReader(dataset, find_predictions(predictions, TASKS.values()), TASKS.values())
        evaluators = score_files(Evaluation(list(TASKS.values()), workers=workers), dataset, reader)
        seconds = time.perf_counter() - start
    start = time.perf_counter()
    reader = PredictionReader(dataset, find_predictions(predictions, [PANOPTIC]), [PANOPTIC])
    score_files(Evaluation([PANOPTIC], workers=workers), dataset, reader)
    panoptic_minutes = (time.perf_counter() - start) / 60 * VAL_IMAGES / count
    minutes = seconds / 60 * VAL_IMAGES / count
    print(
        f"all metrics of {count} images: {seconds:.1f} s with {workers} workers, {minutes:.1f} minutes for {VAL_IMAGES}"
    )
    print(f"panoptic quality: {panoptic_minutes:.2f} minutes for {VAL_IMAGES}")
    print(f"largest memory of all processes together: {memory.mib / 1024:.2f} GiB")
    return {
        "all_metrics_minutes_5105": minutes,
        "panoptic_minutes_5105": panoptic_minutes,
        "all_metrics_images": count,
        "all_metrics_workers": workers,
        "all_metrics_peak_gib": memory.mib / 1024,
        "headlines": {task: evaluators[task].scores.metrics[TASKS[task].headline] for task in tasks},
    }
