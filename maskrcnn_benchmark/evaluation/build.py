"""From tasks and a vocabulary to evaluators: the one place that knows which evaluator scores which task."""

from maskrcnn_benchmark.evaluation.classification import ClassificationEvaluator
from maskrcnn_benchmark.evaluation.coco.keypoint import KeypointEvaluator
from maskrcnn_benchmark.evaluation.coco.proposals import ProposalEvaluator
from maskrcnn_benchmark.evaluation.coco.style import InstanceEvaluator
from maskrcnn_benchmark.evaluation.coco.voc import DetectionAndVocEvaluator
from maskrcnn_benchmark.evaluation.dense.semantic import SemanticEvaluator
from maskrcnn_benchmark.evaluation.edges.boundary import BoundaryEvaluator
from maskrcnn_benchmark.evaluation.edges.occlusion import OcclusionEvaluator
from maskrcnn_benchmark.evaluation.parts.part import PartEvaluator
from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.utils.errors import UserError

# {task key: function (Vocabulary, Protocols) -> Evaluator}; an added task's goes in here, too
EVALUATORS = {
    "box_proposal": lambda vocabulary, _: ProposalEvaluator(),
    "detection": lambda vocabulary, how: DetectionAndVocEvaluator(vocabulary.thing_names, how.detection),
    "instance": lambda vocabulary, how: InstanceEvaluator(vocabulary.thing_names, how.detection),
    "keypoint": lambda vocabulary, _: KeypointEvaluator(_joints(vocabulary), _person_label(vocabulary)),
    "part": lambda vocabulary, _: PartEvaluator(_parts(vocabulary), vocabulary.thing_names),
    "semantic": lambda vocabulary, _: SemanticEvaluator(vocabulary.semantic_names),
    "boundary": lambda _, how: BoundaryEvaluator(how.edges),
    "occlusion": lambda _, how: OcclusionEvaluator(how.edges),
    "classification": lambda vocabulary, _: ClassificationEvaluator(
        vocabulary.image_label_names, vocabulary.thing_names
    ),
}


def build_evaluators(tasks, vocabulary, protocols=None):
    """An evaluator for each task.

    Args:
        tasks: keys of `tasks.TASKS` and "box_proposal".
        vocabulary: the data set's Vocabulary.
        protocols: the `Protocols`; by default those of published figures.

    Returns:
        {task key: Evaluator} in the order given.
    """
    protocols = protocols or Protocols()
    return {task: EVALUATORS[task](vocabulary, protocols) for task in tasks}


def _joints(vocabulary):
    if vocabulary.joints is None:
        raise UserError("the data set names no joints: evaluate it with MODEL.KEYPOINT_ON False")
    return vocabulary.joints


def _parts(vocabulary):
    if vocabulary.parts is None:
        raise UserError("the data set names no parts: evaluate it with MODEL.PART_ON False")
    return vocabulary.parts


def _person_label(vocabulary):
    if "person" not in vocabulary.thing_names:
        raise UserError("the data set has no thing named 'person': evaluate it with MODEL.KEYPOINT_ON False")
    return vocabulary.thing_names.index("person") + 1
