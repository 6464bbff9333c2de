"""The inference loop: a model over a data set, answers into evaluators, evaluators into one dictionary of results."""

import contextlib
import logging
import time
from pathlib import Path

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from maskrcnn_benchmark.config import cfg as global_cfg
from maskrcnn_benchmark.engine.bbox_aug import build_bbox_aug
from maskrcnn_benchmark.engine.original_dataset import as_evaluable
from maskrcnn_benchmark.engine.step import autocast
from maskrcnn_benchmark.evaluation.answers import ImageAnswers
from maskrcnn_benchmark.evaluation.build import build_evaluators
from maskrcnn_benchmark.evaluation.prediction_writer import PredictionWriter
from maskrcnn_benchmark.evaluation.report import (
    TASK_OF_IOU_TYPE,
    check_expected_results,
    gather_results,
    write_results,
)
from maskrcnn_benchmark.evaluation.result_files import summaries, write_summary
from maskrcnn_benchmark.evaluation.result_layout import is_detail
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import UserError

RESULTS = "results.json"

logger = logging.getLogger(__name__)


def inference(
    model,
    data_loader,
    dataset_name,
    iou_types=("bbox",),
    box_only=False,
    bbox_aug=False,
    device="cuda",
    expected_results=(),
    expected_results_sigma_tol=4,
    output_folder=None,
    *,
    tasks=None,
    protocols=None,
    dtype="float32",
    trivial=None,
    augmentation=None,
):
    """Evaluate a model on a data set, with all processes taking their share of the images.

    Args:
        model: images -> one answer per image, in the pixels of the network's input: `BoxList` or `ImagePrediction`.
        data_loader: yields (`ImageList`, targets, image indices) once over the data set; its `dataset` has
            `get_annotations(index)`, `get_img_info(index)` and `vocabulary`, or the original's interface
            (`engine.original_dataset`).
        dataset_name: name for the log.
        iou_types: the original's way of naming tasks, used when `tasks` is None.
        box_only: measure the recall of proposals instead of `iou_types`.
        bbox_aug: test-time augmentation; the loader then yields PIL images.
        device: where the model is.
        expected_results, expected_results_sigma_tol: as TEST.EXPECTED_RESULTS.
        output_folder: if given, `results.json`, the answers of all images (`evaluation.prediction_writer`) and
            pycocotools' own summary are written here.
        tasks: task keys to evaluate.
        protocols: the `evaluation.protocols.Protocols`; by default those of published figures.
        dtype: precision of the forward pass.
        trivial: {task key: {metric: value}} of the trivial predictor, for comparison.
        augmentation: what `bbox_aug` stands for; by default the global config's, as in the original.

    Returns:
        {task key: {"headline": name, "metrics": {name: value}, "trivial": {name: value}}} in the main process; None in
        the others.
    """
    if isinstance(model, DistributedDataParallel):
        model = model.module  # it would wait in each batch for processes that have one batch less
    if bbox_aug and augmentation is None:
        augmentation = build_bbox_aug(global_cfg, model)
    if tasks is None:
        tasks = _tasks(("box_proposal",) if box_only else iou_types)
    dataset = as_evaluable(data_loader.dataset)
    logger.info("Start evaluation on %s (%d images)", dataset_name, len(dataset))
    start = time.perf_counter()
    evaluators = build_evaluators(tasks, dataset.vocabulary, protocols)
    augmentation = augmentation if bbox_aug else None
    with _writer(output_folder, dataset, tasks) as writer:
        for predictions, indices in predict(model, data_loader, device, dtype, augmentation):
            for prediction, index in zip(predictions, indices):
                _take_in(prediction, index, dataset, evaluators, writer)
        if writer is not None:
            writer.finish()
    seconds = time.perf_counter() - start
    logger.info("Evaluated in %.1f s (%.3f s per image)", seconds, seconds / max(1, len(dataset)))
    metrics = merge_and_evaluate(evaluators)
    if metrics is None:
        return None
    level = logging.INFO if _is_of_coco_files(dataset) else logging.DEBUG
    for kind, text in summaries(evaluators).items():
        logger.log(level, "%s on %s, by pycocotools:\n%s", kind, dataset_name, text)
    results = gather_results(metrics, trivial or {})
    if output_folder:
        write_summary(evaluators, output_folder)
        write_results(results, Path(output_folder) / RESULTS)
    check_expected_results(results, dataset_name, expected_results, expected_results_sigma_tol)
    return results


def _writer(folder, dataset, tasks):
    return PredictionWriter(folder, dataset, tasks) if folder else contextlib.nullcontext()


def _take_in(prediction, index, dataset, evaluators, writer):
    """Score the prediction of one image where it is annotated, and write it down in any case.

    Evaluators are given what is written, so that a score from memory and one from the files are the same.
    """
    info = dataset.get_img_info(index)
    prediction = prediction.resize((info["width"], info["height"])).to("cpu")
    target = dataset.get_annotations(index)
    asked = {task: e for task, e in evaluators.items() if writer is not None or e.is_annotated(target)}
    answers = {task: evaluator.answer(prediction) for task, evaluator in asked.items()}
    answers = ImageAnswers(prediction.size, answers, target.image_id)
    for evaluator in asked.values():
        # by index: data sets that were joined may use the same image id
        evaluator.process([answers], [target], [index])
    if writer is not None:
        writer.write(index, answers)


def _is_of_coco_files(dataset):
    """Who tests on files in COCO's layout knows pycocotools' lines; to others they are a detail beside the table."""
    parts = getattr(dataset, "datasets", [dataset])
    return all(hasattr(part, "contiguous_category_id_to_json_id") for part in parts) and not is_detail(dataset)


def _tasks(iou_types):
    """Task keys of the original's names."""
    unknown = [kind for kind in iou_types if kind not in TASK_OF_IOU_TYPE]
    if unknown:
        raise UserError(f"iou_types: {unknown[0]!r} is unknown; there are {', '.join(TASK_OF_IOU_TYPE)}")
    return [TASK_OF_IOU_TYPE[kind] for kind in iou_types]


def predict(model, data_loader, device, dtype="float32", augmentation=None):
    """Run a model over a loader, with a progress bar.

    Args:
        augmentation: `BoxAugmentation` that answers in the model's place, or None.

    Yields:
        (list of `ImagePrediction` in the network's input pixels, on `device`; list of image indices) per batch.
    """
    model.eval()
    for images, _, indices in tqdm(data_loader, desc="evaluate", disable=None if is_main_process() else True):
        with torch.no_grad(), autocast(dtype, device):
            if augmentation is None:
                answers = model(_on_device(images, device))
            else:
                answers = augmentation(images, device)
        yield [ImagePrediction.of(answer) for answer in answers], [int(index) for index in indices]


def _on_device(images, device):
    if not isinstance(images, ImageList):
        raise UserError(
            "the loader yields images as they were stored, which TEST.BBOX_AUG.ENABLED is for; call inference with "
            "bbox_aug=True, or make the loader with TEST.BBOX_AUG.ENABLED False"
        )
    return images.to(device)


def merge_and_evaluate(evaluators):
    """Bring all processes' evaluators together.

    Args:
        evaluators: {task key: evaluator that has processed this process's images}.

    Returns:
        {task key: {metric: value in 0..1 or nan}} in the main process; None in the others.
    """
    metrics = {}
    for key, evaluator in evaluators.items():
        states = all_gather(evaluator.state())
        if is_main_process():
            evaluator.reset()
            evaluator.merge(states)
            metrics[key] = evaluator.evaluate()
    synchronize()
    return metrics if is_main_process() else None
