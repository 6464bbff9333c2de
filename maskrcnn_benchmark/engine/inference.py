"""The inference loop: a model over a data set, answers into evaluators, evaluators into one dictionary of results."""

import contextlib
import logging
import time

import torch
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm

from maskrcnn_benchmark.config import cfg as global_cfg
from maskrcnn_benchmark.data.batches import Batches
from maskrcnn_benchmark.engine.bbox_aug import build_bbox_aug
from maskrcnn_benchmark.engine.evaluation_report import compare_results, leave_results, report_files
from maskrcnn_benchmark.engine.original_dataset import as_evaluable
from maskrcnn_benchmark.engine.precision import inference_precision
from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.build import build_evaluators
from maskrcnn_benchmark.evaluation.coco.summaries import summaries, write_summary
from maskrcnn_benchmark.evaluation.report import TASK_OF_IOU_TYPE, check_expected_results
from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers
from maskrcnn_benchmark.prediction_files.layout import layout_of
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.tasks.task import PROPOSALS, TASKS
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import UserError

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
    tf32=False,
    trivial=None,
    augmentation=None,
    workers=0,
    single_task="",
    num_examples=0,
    interactions=None,
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
        output_folder: if given, the answers of all images (`prediction_files.writer`), the results and what makes
            them readable (`engine.evaluation_report`) and pycocotools' own summary are written here.
        tasks: task keys to evaluate.
        protocols: the `evaluation.protocols.Protocols`; by default those of published figures.
        dtype: precision of the forward pass, as TEST.DTYPE.
        tf32: whether float32 may be computed in TensorFloat-32 on CUDA, as TEST.TF32.
        trivial: {task key: {metric: value}} of the trivial predictor, for comparison.
        augmentation: what `bbox_aug` stands for; by default the global config's, as in the original.
        workers: processes that score while the model goes on; 0 scores in this one.
        single_task: file with results of single-task networks (`evaluation.delta_m`); "" for none.
        num_examples: images at either end of each task's ranking that `report.html` shows, which also needs the
            data set's images; 0 writes no report.
        interactions: of the tasks in training, as `Interactions.summary` returns them, for `results.json` and the
            report; None where they are not known.

    Returns:
        the results, as `evaluation.report.gather_results` says, in the main process; None in the others.
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
    with (
        _writer(output_folder, dataset, tasks) as writer,
        ScoringPool(evaluators, dataset, workers) as pool,
        Batches(data_loader) as batches,
    ):
        for predictions, indices in predict(model, batches, device, dtype, augmentation, tf32):
            for prediction, index in zip(predictions, indices):
                # Evaluators see what is written, so that a score from memory and one from the files are the same
                answers = _answers(prediction, evaluators, dataset.get_img_info(index))
                if writer is not None:
                    writer.write(index, answers.answers)
                # by index: data sets that were joined may use the same image id
                pool.submit(index, answers)
        if writer is not None:
            writer.finish()
    seconds = time.perf_counter() - start
    logger.info("Evaluated in %.1f s (%.3f s per image)", seconds, seconds / max(1, len(dataset)))
    scores = merge_and_evaluate(evaluators)
    if scores is None:
        return None
    level = logging.INFO if _is_of_coco_files(dataset) else logging.DEBUG
    for kind, text in summaries(evaluators).items():
        logger.log(level, "%s on %s, by pycocotools:\n%s", kind, dataset_name, text)
    results = compare_results(evaluators, trivial, single_task)
    if output_folder:
        write_summary(evaluators, output_folder)
        leave_results(evaluators, results, output_folder, interactions)
        if num_examples:
            path = report_files(evaluators, results, dataset, output_folder, dataset_name, num_examples, interactions)
            logger.info("Report with the worst and the best images: %s", path)
    check_expected_results(results, dataset_name, expected_results, expected_results_sigma_tol)
    return results


def _writer(folder, dataset, tasks):
    objects = [TASKS.get(key, PROPOSALS) for key in tasks]
    return PredictionWriter(folder, dataset, objects) if folder else contextlib.nullcontext()


def _answers(prediction, evaluators, info):
    """The `ImageAnswers` of a prediction, in the pixels of the image that `info` describes."""
    prediction = prediction.resize((info["width"], info["height"]))
    answers = {task: evaluator.answer(prediction) for task, evaluator in evaluators.items()}
    return ImageAnswers(prediction.size, answers, info.get("image_id"))


def _is_of_coco_files(dataset):
    """Who tests on files in COCO's layout knows pycocotools' lines; to others they are a detail beside the table."""
    parts = getattr(dataset, "datasets", [dataset])
    return all(hasattr(part, "contiguous_category_id_to_json_id") for part in parts) and layout_of(dataset) != "detail"


def _tasks(iou_types):
    """Task keys of the original's names."""
    unknown = [kind for kind in iou_types if kind not in TASK_OF_IOU_TYPE]
    if unknown:
        raise UserError(f"iou_types: {unknown[0]!r} is unknown; there are {', '.join(TASK_OF_IOU_TYPE)}")
    return [TASK_OF_IOU_TYPE[kind] for kind in iou_types]


def predict(model, data_loader, device, dtype="float32", augmentation=None, tf32=False):
    """Run a model over a loader, with a progress bar.

    Args:
        data_loader: as `inference` takes it, or the `Batches` of one: those end its workers after an error.
        augmentation: `BoxAugmentation` that answers in the model's place, or None.
        dtype, tf32: as `inference` takes them.

    Yields:
        (list of `ImagePrediction` in the network's input pixels, on `device`; list of image indices) per batch.
    """
    model.eval()
    for images, _, indices in tqdm(data_loader, desc="evaluate", disable=None if is_main_process() else True):
        with torch.no_grad(), inference_precision(dtype, tf32, device):
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
    return images.to(device, non_blocking=True)


def merge_and_evaluate(evaluators):
    """Bring all processes' evaluators together.

    Args:
        evaluators: {task key: evaluator that has processed this process's images}.

    Returns:
        {task key: `evaluation.scores.Scores`} in the main process; None in the others.
    """
    scores = {}
    for key, evaluator in evaluators.items():
        states = all_gather(evaluator.state())
        if is_main_process():
            evaluator.reset()
            evaluator.merge(states)
            evaluator.evaluate()
            scores[key] = evaluator.scores
    synchronize()
    return scores if is_main_process() else None
