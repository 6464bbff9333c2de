"""The inference loop: a model over a data set, answers into evaluators, evaluators into one dictionary of results."""

import logging
import time
from pathlib import Path

import torch
from tqdm import tqdm

from maskrcnn_benchmark.engine.step import autocast
from maskrcnn_benchmark.evaluation.build import build_evaluators
from maskrcnn_benchmark.evaluation.report import check_expected_results, gather_results, write_results
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import UserError

RESULTS = "results.json"

# The original library's names for what a network answers per box
TASK_OF_IOU_TYPE = {"bbox": "detection", "segm": "instance", "keypoints": "keypoint"}

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
    edge_thresholds=99,
    dtype="float32",
    channels_last=False,
    trivial=None,
):
    """Evaluate a model on a data set, with all processes taking their share of the images.

    Args:
        model: images -> one answer per image, in the pixels of the network's input.
        data_loader: yields (`ImageList`, targets, image indices) once over the data set; its `dataset` has
            `get_annotations(index)`, `get_img_info(index)` and `vocabulary`.
        dataset_name: name for the log.
        iou_types: the original's way of naming tasks, used when `tasks` is None.
        box_only, bbox_aug: not to be had: proposal recall and test-time augmentation.
        device: where the model is.
        expected_results, expected_results_sigma_tol: as TEST.EXPECTED_RESULTS.
        output_folder: `results.json` is written here, if given.
        tasks: task keys to evaluate.
        edge_thresholds: number of thresholds of boundary and occlusion curves.
        dtype: precision of the forward pass.
        channels_last: memory layout of the images.
        trivial: {task key: {metric: value}} of the trivial predictor, for comparison.

    Returns:
        {task key: {"headline": name, "metrics": {name: value}, "trivial": {name: value}}} in the main process; None in
        the others.
    """
    if box_only:
        raise UserError("box_only (MODEL.RPN_ONLY) asks for the recall of proposals, which no evaluator measures")
    if bbox_aug:
        raise UserError("TEST.BBOX_AUG.ENABLED asks for test-time augmentation, which there is not; set it to False")
    if tasks is None:
        tasks = [TASK_OF_IOU_TYPE[kind] for kind in iou_types]
    dataset = data_loader.dataset
    logger.info("Start evaluation on %s (%d images)", dataset_name, len(dataset))
    start = time.perf_counter()
    evaluators = build_evaluators(tasks, dataset.vocabulary, edge_thresholds)
    for predictions, indices in predict(model, data_loader, device, dtype, channels_last):
        infos = [dataset.get_img_info(index) for index in indices]
        predictions = [p.resize((info["width"], info["height"])).to("cpu") for p, info in zip(predictions, infos)]
        targets = [dataset.get_annotations(index) for index in indices]
        for evaluator in evaluators.values():
            evaluator.process(predictions, targets)
    seconds = time.perf_counter() - start
    logger.info("Evaluated in %.1f s (%.3f s per image)", seconds, seconds / max(1, len(dataset)))
    metrics = merge_and_evaluate(evaluators)
    if metrics is None:
        return None
    results = gather_results(metrics, trivial or {})
    if output_folder:
        write_results(results, Path(output_folder) / RESULTS)
    check_expected_results(results, dataset_name, expected_results, expected_results_sigma_tol)
    return results


def predict(model, data_loader, device, dtype="float32", channels_last=False):
    """Run a model over a loader, with a progress bar.

    Yields:
        (list of `ImagePrediction` in the network's input pixels, on `device`; list of image indices) per batch.
    """
    model.eval()
    for images, _, indices in tqdm(data_loader, desc="evaluate", disable=None if is_main_process() else True):
        images = images.to(device)
        if channels_last:
            images.tensors = images.tensors.contiguous(memory_format=torch.channels_last)
        with torch.no_grad(), autocast(dtype, device):
            answers = model(images)
        yield [ImagePrediction.of(answer) for answer in answers], list(indices)


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
