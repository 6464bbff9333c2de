"""Part segmentation: a part label for every pixel of the objects that have parts."""

import numpy as np
import torch
from yacs.config import CfgNode

from maskrcnn_benchmark.evaluation.evaluator import Evaluator
from maskrcnn_benchmark.evaluation.parts.part import INSTANCE_THRESHOLD, SCORE_THRESHOLD, PartEvaluator, owns_parts
from maskrcnn_benchmark.evaluation.parts.runs import paste_part_runs
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.trivial import ObjectMeans
from maskrcnn_benchmark.prediction_files.encodings import PartAnswer
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    def build_evaluator(self, vocabulary: Vocabulary, protocols: Protocols) -> Evaluator:
        return PartEvaluator(self, vocabulary)

    def trivial(self, vocabulary: Vocabulary) -> ObjectMeans:
        """The most frequent boxes with what lies in them."""
        return ObjectMeans(vocabulary)

    # Files ------------------------------------------------------------------------------------------------------------

    def encode(self, prediction: ImagePrediction, vocabulary: Vocabulary) -> PartAnswer:
        """The part map and, of parts per region, the parts of each object."""
        if self.key in prediction.outputs:
            return PartAnswer(prediction.outputs[self.key].labels.cpu().numpy())
        instances = self.output(prediction, "detection")
        scores, labels = instances.get_field("scores"), instances.get_field("labels")
        has_parts = torch.as_tensor(owns_parts(vocabulary), device=labels.device)[labels]
        chosen = instances[(scores >= INSTANCE_THRESHOLD) & has_parts]
        if len(chosen) == 0:
            return PartAnswer(np.zeros(prediction.size[::-1], np.uint8), [])
        runs = paste_part_runs(chosen.get_field("parts"), chosen.convert("xyxy").bbox, prediction.size)
        scores, labels = chosen.get_field("scores").tolist(), chosen.get_field("labels").tolist()
        rows = {}
        for box, part, code in runs.encode():
            row = rows.setdefault(box, {"category_id": labels[box], "score": scores[box], "parts": []})
            row["parts"].append({"part": part, "segmentation": code})
        worst_first = np.argsort(-np.array(scores), kind="stable")[::-1]
        pasted = [box for box in worst_first if scores[box] >= SCORE_THRESHOLD]
        return PartAnswer(runs.label_map(np.array(pasted, np.int64)), list(rows.values()))

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


PART = register_task(Part())
