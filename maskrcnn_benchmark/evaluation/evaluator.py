"""What all evaluators share: small records per image, each image counted once, gathering over processes."""


class Evaluator:
    """Turns predictions and annotations into metrics, one image at a time.

    A subclass names its `task` (a key of `multitask.tasks.TASKS`) and answers `record` and `summarize`. Only records
    are kept, never maps, so memory stays small; an image is known by its id and counted once however often it is seen.
    """

    task = None

    def __init__(self):
        self.reset()

    def reset(self):
        """Forget every image."""
        self._records = {}

    def process(self, predictions, targets):
        """Score a batch.

        Args:
            predictions: list of ImagePrediction at the original image's resolution.
            targets: list of ImageAnnotations in original pixels; those without this task's annotation are skipped.
        """
        if len(predictions) != len(targets):
            raise ValueError(f"{len(predictions)} predictions for {len(targets)} annotated images")
        for prediction, target in zip(predictions, targets):
            if self.task not in target.annotated_tasks():
                continue
            if target.image_id is None:
                raise ValueError(f"{self.task}: annotations need an image_id to be counted once")
            if tuple(prediction.size) != tuple(target.size):
                raise ValueError(
                    f"{self.task}: image {target.image_id} is {target.size} pixels, its prediction {prediction.size}: "
                    f"resize predictions to the original image first"
                )
            if target.image_id not in self._records:
                self._records[target.image_id] = self.record(prediction, target)

    def evaluate(self):
        """Metrics over the images seen: {name: float in 0..1, or nan where nothing could be scored}."""
        return self.summarize([self._records[image_id] for image_id in sorted(self._records, key=str)])

    def state(self):
        """What another process needs to merge this one's images: {image id: record}, picklable."""
        return dict(self._records)

    def merge(self, states):
        """Take in the images of other processes.

        Args:
            states: iterable of what `state` returned; an image that is already known is not counted again.
        """
        for state in states:
            for image_id, record in state.items():
                self._records.setdefault(image_id, record)

    def record(self, prediction, target):
        """The small record of one annotated image that `summarize` needs."""
        raise NotImplementedError

    def summarize(self, records):
        """Metrics from a list of records, in an order that does not depend on how images came in."""
        raise NotImplementedError

    def answer(self, prediction, member):
        """A member of an ImagePrediction; raises `ValueError` where the network did not answer it."""
        value = getattr(prediction, member)
        if value is None:
            raise ValueError(f"{self.task}: the prediction has no {member}; evaluate only what the network answers")
        return value
