"""What all evaluators share: small records per image, each image counted once, gathering over processes."""

import math
from dataclasses import replace

from maskrcnn_benchmark.prediction_files.encodings import ImageAnswers
from maskrcnn_benchmark.tasks.task import annotated_tasks


class Evaluator:
    """Turns predictions and annotations into metrics, one image at a time.

    A subclass names its `task` (a key of `tasks.TASKS`) and its `protocol`, and says `answer`, `record`,
    `summarize` and `image_score`. Only records are kept, never maps, so memory stays small; an image is known by its id
    and counted once however often it is seen.

    Attributes:
        protocol: one line that names the definitions in use, for the report.
        scores: the `Scores` of the last `evaluate`, which has more to say than its metrics; None before it.
    """

    task = None
    protocol = ""

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget every image."""
        self._records = {}
        self.scores = None

    def process(self, predictions, targets, keys=None):
        """Score a batch.

        Args:
            predictions: list of ImagePrediction at the original image's resolution, or of ImageAnswers.
            targets: list of ImageAnnotations in original pixels; those without this task's annotation are skipped.
            keys: what each image is known by, such as its index in the data set; by default the targets' image ids.
        """
        keys = [target.image_id for target in targets] if keys is None else keys
        if not len(predictions) == len(targets) == len(keys):
            raise ValueError(f"{len(predictions)} predictions and {len(keys)} keys for {len(targets)} annotated images")
        for prediction, target, key in zip(predictions, targets, keys):
            if not self.is_annotated(target):
                continue
            if key is None:
                raise ValueError(f"{self.task}: annotations need an image_id to be counted once")
            if key not in self._records:
                self._records[key] = self.score(prediction, target)

    def score(self, prediction, target):
        """The record of one annotated image, for `merge`: nothing is kept. Arguments as those of `process`."""
        if tuple(prediction.size) != tuple(target.size):
            raise ValueError(
                f"{self.task}: image {target.image_id} is {target.size} pixels, its prediction {prediction.size}: "
                f"resize predictions to the original image first"
            )
        if isinstance(prediction, ImageAnswers):
            return self.record(prediction.answers[self.task], target)
        return self.record(self.answer(prediction), target)

    def evaluate(self):
        """Metrics over the images seen: {name: float in 0..1, or nan where nothing could be scored}."""
        self.scores = replace(self.summarize(list(self.records().values())), protocol=self.protocol)
        return self.scores.metrics

    def image_scores(self):
        """{key of an image: score in 0..1, or nan where there is nothing to score}, to find the best and the worst."""
        return {key: self.image_score(record) for key, record in self.records().items()}

    def records(self):
        """{key of an image: record}, numbers in their order, then words in theirs."""
        return {key: self._records[key] for key in sorted(self._records, key=_rank)}

    def state(self):
        """What another process needs to merge this one's images: {key of an image: record}, picklable."""
        return dict(self._records)

    def is_annotated(self, target):
        """Whether somebody looked for what this task asks for on an image."""
        return self.task in annotated_tasks(target)

    def merge(self, states):
        """Take in the images of other processes.

        Args:
            states: iterable of what `state` returned; an image that is already known is not counted again.
        """
        for state in states:
            for key, record in state.items():
                self._records.setdefault(key, record)

    def answer(self, prediction):
        """The answer of an ImagePrediction in the form of `prediction_files.encodings`."""
        raise NotImplementedError

    def record(self, answer, target):
        """The small record of one annotated image that `summarize` needs."""
        raise NotImplementedError

    def summarize(self, records):
        """`Scores` from a list of records, in an order that does not depend on how images came in."""
        raise NotImplementedError

    def image_score(self, record):
        """One image's own score in 0..1 from its record; nan where nothing can be scored on it."""
        return math.nan

    def member(self, prediction, name):
        """The output of a task, by key or attribute; raises `ValueError` where the network did not predict it."""
        value = getattr(prediction, name) if hasattr(prediction, name) else prediction.outputs.get(name)
        if value is None:
            raise ValueError(f"{self.task}: the prediction has no {name}; evaluate only what the network answers")
        return value


def _rank(key):
    return (0, key, "") if isinstance(key, int) else (1, 0, str(key))
