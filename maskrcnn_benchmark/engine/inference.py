"""The inference loop: a network over a data set, its predictions into evaluators, and what they say into one result."""

import contextlib
import logging
import os
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel
from tqdm import tqdm
from yacs.config import CfgNode

from maskrcnn_benchmark.config import cfg as global_cfg
from maskrcnn_benchmark.data.batches import Batches
from maskrcnn_benchmark.data.dataset import as_dataset
from maskrcnn_benchmark.engine.bbox_aug import build_bbox_aug
from maskrcnn_benchmark.engine.dense_aug import Augmentation, DenseAugmentation, build_test_augmentation
from maskrcnn_benchmark.engine.evaluation_report import EvaluationReport
from maskrcnn_benchmark.engine.image_subset import read_image_subset
from maskrcnn_benchmark.engine.precision import inference_precision
from maskrcnn_benchmark.engine.results import check_expected_results, tasks_by_iou_type
from maskrcnn_benchmark.engine.scoring import ScoringPool
from maskrcnn_benchmark.evaluation.coco.summaries import summaries
from maskrcnn_benchmark.evaluation.evaluator import Evaluator, build_evaluators
from maskrcnn_benchmark.evaluation.protocols import Protocols, build_protocols
from maskrcnn_benchmark.prediction_files.writer import PredictionWriter
from maskrcnn_benchmark.structures.image_list import ImageList
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import complete_outputs
from maskrcnn_benchmark.tasks.consistency import CONSISTENCY, consistency_evaluator
from maskrcnn_benchmark.tasks.task import Task, evaluated_tasks
from maskrcnn_benchmark.utils.comm import all_gather, is_main_process, synchronize
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted

logger = logging.getLogger(__name__)


def inference(
    model: nn.Module,
    data_loader: Any,
    dataset_name: str,
    iou_types: Sequence[str] = ("bbox",),
    box_only: bool = False,
    bbox_aug: bool = False,
    device: torch.device | str = "cuda",
    expected_results: Sequence = (),
    expected_results_sigma_tol: float = 4,
    output_folder: str | os.PathLike | None = None,
) -> dict[str, dict[str, Any]] | None:
    """The original library's call: evaluate a model on a data set, see `Evaluation.run` and `InferenceNetwork`.

    Args:
        model: images -> one prediction per image, in the pixels of the network's input: `BoxList` or `ImagePrediction`.
        data_loader: see `Evaluation.run`; its data set may have the original's interface (`data.dataset.as_dataset`).
        dataset_name: name for the log.
        iou_types: the original's names of the tasks.
        box_only: measure the recall of proposals instead of `iou_types`.
        bbox_aug: test-time augmentation as the global config says; the loader then yields PIL images.
        device: where the model is.
        expected_results, expected_results_sigma_tol: as TEST.EXPECTED_RESULTS.
        output_folder: where predictions and results are written, if given.

    Returns:
        the results, as `engine.results.gather_results` says, in the main process; None in the others.
    """
    known = tasks_by_iou_type()
    kinds = ("box_proposal",) if box_only else iou_types
    unknown = [kind for kind in kinds if kind not in known]
    if unknown:
        raise UserError(f"iou_types: {unknown[0]!r} is unknown; there are {', '.join(known)}")
    network = InferenceNetwork(model, device, augmentation=build_bbox_aug(global_cfg, model) if bbox_aug else None)
    evaluation = Evaluation(
        [known[kind] for kind in kinds],
        expected_results=expected_results,
        sigma_tolerance=expected_results_sigma_tol,
    )
    return evaluation.run(network, data_loader, dataset_name, output_folder)


class InferenceNetwork:
    """A network as it is tested: on its device, in its precision, with test-time augmentation if that is asked for.

    Args:
        model: images -> one prediction per image, in the pixels of its input: `BoxList` or `ImagePrediction`.
        device: where it is.
        dtype, tf32: as TEST.DTYPE and TEST.TF32.
        augmentation: predicts in the model's place, from images as they were stored.
    """

    def __init__(
        self,
        model: nn.Module,
        device: torch.device | str = "cuda",
        dtype: str = "float32",
        tf32: bool = False,
        augmentation: Augmentation | None = None,
    ) -> None:
        # `DistributedDataParallel` would wait in each batch for processes that have one batch less
        self.model = model.module if isinstance(model, DistributedDataParallel) else model
        self.device, self.dtype, self.tf32, self.augmentation = device, dtype, tf32, augmentation

    @classmethod
    def of_config(
        cls, cfg: CfgNode, model: nn.Module, device: torch.device | str, vocabulary: Vocabulary | None = None
    ) -> "InferenceNetwork":
        """As the options under TEST say; `vocabulary` has the network's names, which TEST.DENSE_AUG may ask for."""
        augmentation = build_test_augmentation(cfg, model, vocabulary)
        return cls(model, device, cfg.TEST.DTYPE, cfg.TEST.TF32, augmentation)

    def __call__(self, images: ImageList | Sequence) -> list[ImagePrediction]:
        """A prediction per image, in the pixels of the network's input or, averaged over views, of the image.

        Args:
            images: `ImageList`; with an augmentation list of PIL RGB images.
        """
        with torch.no_grad(), inference_precision(self.dtype, self.tf32, self.device):
            if self.augmentation is not None:
                outputs = self.augmentation(images, self.device)  # type: ignore[arg-type]
            elif isinstance(images, ImageList):
                outputs = self.model(images.to(self.device, non_blocking=True))
            else:
                raise UserError(
                    "the loader yields images as they were stored, which TEST.BBOX_AUG.ENABLED and "
                    "TEST.DENSE_AUG.ENABLED are for; call inference with bbox_aug=True, or make the loader with both "
                    "False"
                )
        return [ImagePrediction.of(output) for output in outputs]


def predict(network: InferenceNetwork, data_loader: Iterable) -> Iterator[tuple[list[ImagePrediction], list[int]]]:
    """Run a network over a loader, with a progress bar.

    Args:
        network: what predicts; its model is put into evaluation mode.
        data_loader: as `Evaluation.run` takes it, or the `Batches` of one: those end its workers after an error.

    Yields:
        (predictions in the network's input pixels, on its device; image indices) per batch.
    """
    network.model.eval()
    for images, _, indices in tqdm(data_loader, desc="evaluate", disable=None if is_main_process() else True):
        yield network(images), [int(index) for index in indices]


@dataclass(frozen=True)
class Evaluation:
    """What is asked of networks, whichever the data set.

    Attributes:
        tasks: what is scored.
        protocols: the definitions; by default those of published scores.
        workers: processes that score while the network goes on; 0 scores in this one.
        single_task: file with results of single-task networks (`engine.delta_m`); "" for none.
        expected_results, sigma_tolerance: as TEST.EXPECTED_RESULTS.
        num_examples: images at either end of each task's ranking that `report.html` shows, which also needs the data
            set's images; 0 writes no report.
        interactions: of the tasks in training, as `Interactions.summary` returns them, for `results.json` and the
            report; None where they are not known.
        image_list: file with the names of images on which scores are stated as well; "" for none.
        delta_m_metrics: a key of `engine.delta_m.METRICS`.
        cfg: the options of derived tasks; None for their defaults.
    """

    tasks: Sequence[Task]
    protocols: Protocols = field(default_factory=Protocols)
    workers: int = 0
    single_task: str = ""
    expected_results: Sequence = ()
    sigma_tolerance: float = 4
    num_examples: int = 0
    interactions: dict[str, Any] | None = None
    image_list: str = ""
    delta_m_metrics: str = "headline"
    cfg: CfgNode | None = None

    @classmethod
    def of_config(cls, cfg: CfgNode, num_examples: int = 0, interactions: dict[str, Any] | None = None) -> "Evaluation":
        """As the options under TEST say, of the tasks that the config turns on."""
        return cls(
            evaluated_tasks(cfg),
            build_protocols(cfg),
            cfg.DATALOADER.NUM_WORKERS,
            cfg.TEST.SINGLE_TASK_RESULTS,
            cfg.TEST.EXPECTED_RESULTS,
            cfg.TEST.EXPECTED_RESULTS_SIGMA_TOL,
            num_examples,
            interactions,
            cfg.TEST.IMAGE_LIST,
            cfg.TEST.DELTA_M_METRICS,
            cfg,
        )

    def run(
        self,
        network: InferenceNetwork,
        data_loader: Any,
        name: str,
        folder: str | os.PathLike | None = None,
        trivial: Mapping[str, Mapping[str, float]] | None = None,
    ) -> dict[str, dict[str, Any]] | None:
        """Evaluate a network on a data set, with all processes taking their share of the images.

        Args:
            network: what predicts.
            data_loader: yields (`ImageList`, targets, image indices) once over the data set; its `dataset` has
                `get_annotations(index)`, `get_img_info(index)` and `vocabulary`.
            name: of the data set, for the log.
            folder: if given, the predictions on all images (`prediction_files.writer`), the results and what makes them
                readable (`engine.evaluation_report`) are written here.
            trivial: {task key: {metric: value}} of the trivial predictor, for comparison.

        Returns:
            the results, as `engine.results.gather_results` says, in the main process; None in the others.
        """
        dataset = as_dataset(data_loader.dataset)
        subset = read_image_subset(self.image_list, dataset) if self.image_list else None
        logger.info("Start evaluation on %s (%s)", name, counted(len(dataset), "image"))
        start = time.perf_counter()
        evaluators = build_evaluators(self.tasks, dataset.vocabulary, self.protocols)
        if isinstance(network.augmentation, DenseAugmentation):
            network.augmentation.name_views(evaluators)
        consistency = consistency_evaluator(evaluators, dataset.vocabulary, self.cfg)
        asked = evaluators if consistency is None else {**evaluators, CONSISTENCY: consistency}
        with (
            _writer(folder, dataset, self.tasks) as writer,
            ScoringPool(asked, dataset, self.workers) as pool,
            Batches(data_loader) as batches,
        ):
            for predictions, indices in predict(network, batches):
                for prediction, index in zip(predictions, indices):
                    # Evaluators see what is written, so that a score from memory and one from the files are the same
                    prediction = self._completed(prediction, dataset, index)
                    stored = {key: each.task.encode(prediction, dataset.vocabulary) for key, each in asked.items()}
                    if writer is not None:
                        writer.write(index, stored)
                    # by index: data sets that were joined may use the same image id
                    pool.submit(index, stored)
            if writer is not None:
                writer.finish()
        seconds = time.perf_counter() - start
        logger.info("Evaluated in %.1f s (%.3f s per image)", seconds, seconds / max(1, len(dataset)))
        if not merge_and_evaluate(asked):
            return None
        level = logging.INFO if dataset.layout == "coco" else logging.DEBUG
        for kind, text in summaries(evaluators).items():
            logger.log(level, "%s on %s, by pycocotools:\n%s", kind, name, text)
        report = EvaluationReport(
            evaluators,
            dataset,
            trivial,
            self.single_task,
            self.interactions,
            subset,
            self.delta_m_metrics,
            None if consistency is None else consistency.to_dict(),
        )
        if folder:
            report.write(folder)
        if folder and self.num_examples:
            facts = [("data set", name), ("images", str(len(dataset))), ("predictions", str(folder))]
            facts += [] if subset is None else [("image list", str(subset))]
            path = report.write_page(folder, f"Evaluation on {name}", facts, self.num_examples)
            logger.info("Report with the worst and the best images: %s", path)
        check_expected_results(report.results, name, self.expected_results, self.sigma_tolerance)
        return report.results

    def _completed(self, prediction: ImagePrediction, dataset: Any, index: int) -> ImagePrediction:
        """A prediction in the pixels of its image, with all that is made from its outputs."""
        info = dataset.get_img_info(index)
        # what is made from outputs, such as those of derived tasks, is made after this
        prediction = prediction.resize((info["width"], info["height"]))
        return complete_outputs(prediction, self.tasks, dataset.vocabulary, self.cfg)


def merge_and_evaluate(evaluators: Mapping[str, Evaluator]) -> bool:
    """Bring all processes' evaluators together.

    Args:
        evaluators: {task key: evaluator that has processed this process's images}; those of the main process know all
            images afterwards, and have their `scores`.

    Returns:
        Whether this is the main process.
    """
    for evaluator in evaluators.values():
        states = all_gather(evaluator.state())
        if is_main_process():
            evaluator.reset()
            evaluator.merge(states)
            evaluator.evaluate()
    synchronize()
    return is_main_process()


def _writer(folder, dataset, tasks):
    return PredictionWriter(folder, dataset, tasks) if folder else contextlib.nullcontext()
