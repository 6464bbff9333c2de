"""What all evaluators share: small records per image, each image counted once, gathering over processes."""

import math
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from maskrcnn_benchmark.evaluation.protocols import Protocols
from maskrcnn_benchmark.evaluation.scores import Scores
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary


class Evaluator:
    """Turns predictions and annotations into metrics, one image at a time.

    A subclass names its `protocol`, and says `record`, `summarize` and `image_score`. Only records are kept, never
    maps, so memory stays small; an image is known by its id and counted once however often it is seen.

    Args:
        task: the `tasks.task.Task` that is scored: its `key`, `title`, `encode` and `is_annotated` are used.
        vocabulary: the data set's names.

    Attributes:
        task, vocabulary: as given.
        protocol: one line that names the definitions in use, for the report.
        note: one line on which published figures are measured alike, printed under the table; "" for none.
        scores: the `Scores` of the last `evaluate`, which has more to say than its metrics; None before it.
    """

    protocol = note = ""

    def __init__(self, task: Any, vocabulary: Vocabulary) -> None:
        self.task = task
        self.vocabulary = vocabulary
        self.reset()

    def reset(self) -> None:
        """Forget every image."""
        self._records: dict[Hashable, Any] = {}
        self.scores: Any = None

    def process(
        self,
        predictions: Sequence[ImagePrediction | Mapping[str, Any]],
        targets: Sequence[ImageAnnotations],
        keys: Sequence[Hashable] | None = None,
    ) -> None:
        """Score a batch.

        Args:
            predictions: `ImagePrediction`s at the original image's resolution, or what is stored of them: {task key:
                what `Task.encode` returns}.
            targets: annotations in original pixels; those without this task's annotation are skipped.
            keys: what each image is known by, such as its index in the data set; by default the targets' image ids.
        """
        keys = [target.image_id for target in targets] if keys is None else keys
        if not len(predictions) == len(targets) == len(keys):
            raise ValueError(f"{len(predictions)} predictions and {len(keys)} keys for {len(targets)} annotated images")
        for prediction, target, key in zip(predictions, targets, keys):
            if not self.is_annotated(target):
                continue
            if key is None:
                raise ValueError(f"{self.task.key}: annotations need an image_id to be counted once")
            if key not in self._records:
                self._records[key] = self.score(prediction, target)

    def score(self, prediction: ImagePrediction | Mapping[str, Any], target: ImageAnnotations) -> Any:
        """The record of one annotated image, for `merge`: nothing is kept. Arguments as those of `process`."""
        if isinstance(prediction, Mapping):
            return self.record(prediction[self.task.key], target)
        self.check_size(prediction.size, target)
        return self.record(self.task.encode(prediction, self.vocabulary), target)

    def check_size(self, size: Sequence[int], target: ImageAnnotations) -> None:
        """Raise `ValueError` for a prediction whose (width, height) is not that of the annotated image."""
        if tuple(size) != tuple(target.size):
            raise ValueError(
                f"{self.task.key}: image {target.image_id} is {target.size} pixels, its prediction {tuple(size)}: "
                f"resize predictions to the original image first"
            )

    def evaluate(self) -> dict[str, float]:
        """Metrics over the images seen: {name: float in 0..1, or nan where nothing could be scored}."""
        self.scores = self._summary(list(self.records().values()))
        return self.scores.metrics

    def scores_of(self, keys: Iterable[Hashable]) -> Scores:
        """The `Scores` of some of the images seen alone; `scores` stays as it is.

        Args:
            keys: of these images; one without a record, which is not annotated, counts for nothing.
        """
        chosen = set(keys)
        return self._summary([record for key, record in self.records().items() if key in chosen])

    def _summary(self, records: list[Any]) -> Scores:
        return replace(self.summarize(records), protocol=self.protocol, note=self.note)

    def image_scores(self) -> dict[Hashable, float]:
        """{key of an image: score in 0..1, or nan where there is nothing to score}, to find the best and the worst."""
        return {key: self.image_score(record) for key, record in self.records().items()}

    def records(self) -> dict[Hashable, Any]:
        """{key of an image: record}, numbers in their order, then words in theirs."""
        return {key: self._records[key] for key in sorted(self._records, key=_rank)}

    def state(self) -> dict[Hashable, Any]:
        """What another process needs to merge this one's images: {key of an image: record}, picklable."""
        return dict(self._records)

    def is_annotated(self, target: ImageAnnotations) -> bool:
        """Whether an image is annotated for this task."""
        return self.task.is_annotated(target)

    def merge(self, states: Iterable[Mapping[Hashable, Any]]) -> None:
        """Take in the images of other processes.

        Args:
            states: iterable of what `state` returned; an image that is already known is not counted again.
        """
        for state in states:
            for key, record in state.items():
                self._records.setdefault(key, record)

    def record(self, stored: Any, target: ImageAnnotations) -> Any:
        """The small record of one annotated image that `summarize` needs.

        Args:
            stored: what `Task.encode` makes of the prediction.
            target: the annotations.
        """
        raise NotImplementedError

    def summarize(self, records: list[Any]) -> Scores:
        """`Scores` from a list of records, in an order that does not depend on how images came in."""
        raise NotImplementedError

    def image_score(self, record: Any) -> float:
        """One image's own score in 0..1 from its record; nan where nothing can be scored on it."""
        return math.nan


def build_evaluators(
    tasks: Iterable[Any], vocabulary: Vocabulary, protocols: Protocols | None = None
) -> dict[str, Evaluator]:
    """An evaluator for each task: {task key: Evaluator} in the order given.

    Args:
        tasks: `tasks.task.Task` objects.
        vocabulary: the data set's names.
        protocols: by default those of published scores.
    """
    protocols = protocols or Protocols()
    return {task.key: task.build_evaluator(vocabulary, protocols) for task in tasks}


def _rank(key):
    return (0, key, "") if isinstance(key, int) else (1, 0, str(key))
