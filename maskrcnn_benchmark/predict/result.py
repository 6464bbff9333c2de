"""What a network says about one image: all tasks' answers as tensors in its pixels, as a picture, and as files."""

import copy
import json
from dataclasses import dataclass
from functools import cached_property

import torch
from PIL import Image

from maskrcnn_benchmark.layers.mask_paste import paste_masks, paste_parts
from maskrcnn_benchmark.predict.result_files import ResultWriter, image_entry
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_prediction import label_probability
from maskrcnn_benchmark.tasks.task import OWN_TASKS, TASKS
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.visualization.canvas import canvas_scale
from maskrcnn_benchmark.visualization.drawers import DRAWERS
from maskrcnn_benchmark.visualization.prediction_picture import (
    ON_PHOTOGRAPH,
    draw_grid,
    draw_overlay,
    overlay_scale,
)

# What has to be reached to be shown: scores of objects, strength of edges, probability of labels. Of a semantic map,
# pixels whose class is less probable are left unlabelled
THRESHOLDS = {
    "detection": 0.5,
    "instance": 0.5,
    "keypoint": 0.5,
    "part": 0.5,
    "semantic": 0.0,
    "boundary": 0.5,
    "occlusion": 0.5,
    "classification": 0.5,
}
OTHER_THRESHOLD = 0.5  # of added tasks


@dataclass(frozen=True)
class Objects:
    """Detected objects, best first.

    Attributes:
        boxes: float [N, 4], x1, y1, x2, y2 in pixels of the image, the last pixel included.
        scores: float [N].
        labels: int64 [N], 1..K; `names[i]` is the class of object i.
        names: list of N str.
    """

    boxes: torch.Tensor
    scores: torch.Tensor
    labels: torch.Tensor
    names: list

    def __len__(self):
        return len(self.names)


@dataclass(frozen=True)
class Masks(Objects):
    """Objects with `masks`, bool [N, H, W]."""

    masks: torch.Tensor


@dataclass(frozen=True)
class People(Objects):
    """People with `keypoints`, float [N, J, 3]: x, y in pixels, and 1 (the network says nothing of visibility)."""

    keypoints: torch.Tensor


class Result:
    """The answers on one image. A task that the network was not asked is None.

    `result.detection` and `result["detection"]` are the same, for each task:

        detection       `Objects`
        instance        `Masks`
        keypoint        `People`
        part            uint8 [H, W]: part label 1..P, 0 none
        semantic        uint8 [H, W]: class 0..C-1, 255 where it is less probable than the threshold
        boundary        float [H, W]: probability of a boundary
        occlusion       float [3, H, W]: probability of an occlusion edge, sin and cos of its direction, which has the
                        side in front on its left (x to the right, y down)
        classification  float [L]: probability of each image label
        an added task   what its head answers, with one cell per pixel: the scores of a `ScoreMap`, float [C, H, W]

    Thresholds decide which objects there are and what pictures show; files hold everything, for evaluation needs the
    whole ranking.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        name: what its files are called.
        path: where it came from, "" for an image in memory.
        tasks: keys of the tasks that are answered.
        vocabulary: the `Vocabulary` with the names of all labels.
        thresholds: {task key: threshold}, see `THRESHOLDS`.
        seconds: of a frame of a video its time from the beginning, else None.
        clip: the `video.Clip` that it is a frame of, or None.
    """

    def __init__(
        self, image, prediction, vocabulary, tasks, name="image", path="", thresholds=None, seconds=None, clip=None
    ):
        """`prediction` is an `ImagePrediction` on the CPU whose objects are in pixels of the image."""
        self.image = image
        self.name = name
        self.path = path
        self.tasks = tuple(tasks)
        self.vocabulary = vocabulary
        added = {task: OTHER_THRESHOLD for task in TASKS if task not in THRESHOLDS}
        self.thresholds = merge_thresholds({**THRESHOLDS, **added}, thresholds)
        self.seconds = seconds
        self.clip = clip
        self._prediction = prediction

    @property
    def size(self):
        """(width, height) of the image in pixels."""
        return self.image.shape[1], self.image.shape[0]

    def with_thresholds(self, thresholds):
        """The same answers under other thresholds, {task key: threshold}; the network is not run again."""
        merged = merge_thresholds(self.thresholds, thresholds)
        result = copy.copy(self)
        result.thresholds = merged
        for name, value in vars(Result).items():  # what depends on thresholds is made anew
            if isinstance(value, cached_property) and name not in ("_enlarged", "_probability", "answers"):
                vars(result).pop(name, None)
        return result

    def __getitem__(self, task):
        if task not in TASKS:
            raise KeyError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
        if task not in self.tasks:
            return None
        if task in OWN_TASKS:
            return getattr(self, f"_{task}")
        answer = self._enlarged.outputs[task]
        return getattr(answer, "scores", answer)

    def __getattr__(self, name):
        if not name.startswith("_") and name in TASKS:
            return self[name]
        raise AttributeError(f"a result has no {name!r}")

    def draw(self, tasks=None, thresholds=None, layout=None, scale=None):
        """A picture of the answers.

        Args:
            tasks: a task key or several. None draws in a grid all that are answered, and on the photograph objects and
                joints or, where the network answers none of these, all.
            thresholds: {task key: threshold} for this picture alone.
            layout: "overlay" paints on the photograph; "grid" draws a panel per task below its title, the photograph
                first; None is the grid for several tasks and for a single key its panel alone.
            scale: pixels of the picture, or of a panel, per pixel of the image. By default panels are 480 to 1000
                pixels wide so that their text can be read, and an overlay has the image's own size, but enlarged where
                the image is narrower than 480 pixels.

        Returns:
            PIL RGB image.
        """
        if layout not in (None, "grid", "overlay"):
            raise UserError(f"a layout is 'grid' or 'overlay', not {layout!r}")
        if scale is not None and not 0 < scale <= 100:
            raise UserError(f"the scale must be above 0 and at most 100, not {scale}")
        result = self if thresholds is None else self.with_thresholds(thresholds)
        if layout == "overlay":
            return Image.fromarray(result._overlay(tasks, scale))
        chosen = result._chosen(tasks)
        answer = result._at_scale(scale or canvas_scale(*self.size))
        panels = [DRAWERS[task](self.image, answer, self.vocabulary, result.thresholds[task], scale) for task in chosen]
        if isinstance(tasks, str) and layout is None:
            return Image.fromarray(panels[0])
        return Image.fromarray(draw_grid(self.image, panels, [TASKS[task].title for task in chosen], scale))

    @cached_property
    def answers(self):
        """{task key: what is written to files and what evaluators score}."""
        return {task: TASKS[task].encode(self._enlarged, self.vocabulary) for task in self.tasks}

    def to_dict(self):
        """The answers as one dictionary of plain values.

        `answers` holds the rows that `save` would write into its lists, in COCO's result formats, `maps` its PNG files
        in base64, and `classes` what every number means (docs/predicting.md).
        """
        return image_entry(self)

    def to_json(self):
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict())

    def save(self, folder):
        """Write the answers into a folder in the formats that `tools/evaluate.py --predictions` reads.

        Results of other images that the folder holds already are kept.
        """
        with ResultWriter(folder, self.vocabulary, self.tasks) as writer:
            writer.add(self)
            writer.finish()

    def __repr__(self):
        width, height = self.size
        found = "" if self.detection is None else f", {len(self.detection)} objects"
        return f"Result({self.name!r}, {width}x{height}, tasks: {', '.join(self.tasks)}{found})"

    def _chosen(self, tasks):
        chosen = list(self.tasks) if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
        lacking = [task for task in chosen if task not in self.tasks]
        if lacking:
            raise UserError(f"task {lacking[0]!r} is not answered; there are {', '.join(self.tasks)}")
        return [task for task in TASKS if task in chosen]

    def _overlay(self, tasks, scale):
        if tasks is None:
            tasks = [task for task in ON_PHOTOGRAPH if task in self.tasks]
            tasks = tasks or [task for task in self.tasks if task in OWN_TASKS]
        chosen, scale = self._chosen(tasks), scale or overlay_scale(*self.size)
        return draw_overlay(self.image, self._at_scale(scale), self.vocabulary, chosen, self.thresholds, scale)

    def _at_scale(self, scale):
        """The `ImagePrediction` to draw at a scale: maps that are made already where they fit, else the coarse ones."""
        return self._enlarged if scale == 1 else self._prediction

    @cached_property
    def _enlarged(self):
        """The `ImagePrediction` with maps of one cell per pixel, each made when it is looked at."""
        return self._prediction.resize(self.size)

    @cached_property
    def _probability(self):
        """float [H, W], the probability of each pixel's class."""
        return label_probability(self._enlarged.semantic)

    def _objects(self, task):
        """The instances whose score reaches a task's threshold, best first."""
        instances = self._prediction.instances
        scores = instances.get_field("scores")
        order = scores.argsort(descending=True, stable=True)
        return instances[order[scores[order] >= self.thresholds[task]]]

    def _described(self, kind, instances, **more):
        labels = instances.get_field("labels")
        names = [self.vocabulary.thing_names[label - 1] for label in labels.tolist()]
        return kind(instances.convert("xyxy").bbox, instances.get_field("scores"), labels, names, **more)

    @cached_property
    def _detection(self):
        return self._described(Objects, self._objects("detection"))

    @cached_property
    def _instance(self):
        instances = self._objects("instance")
        masks = instances.get_field("mask")
        if tuple(masks.shape[-2:]) == self.size[::-1]:
            masks = masks[:, 0] > 0.5  # the network pasted them itself (POSTPROCESS_MASKS)
        else:
            masks = paste_masks(masks, instances.convert("xyxy").bbox, self.size)
        return self._described(Masks, instances, masks=masks)

    @cached_property
    def _keypoint(self):
        people = self._objects("keypoint")
        if "person" in self.vocabulary.thing_names:
            people = people[people.get_field("labels") == self.vocabulary.thing_names.index("person") + 1]
        joints = people.get_field("keypoints")
        return self._described(People, people, keypoints=joints.keypoints)

    @cached_property
    def _part(self):
        if self._prediction.part_map is not None:
            return self._enlarged.part_map.labels
        chosen = self._objects("part")
        return paste_parts(
            chosen.get_field("parts"), chosen.convert("xyxy").bbox, chosen.get_field("scores"), self.size
        )

    @cached_property
    def _semantic(self):
        labels, threshold = self._enlarged.semantic.labels, self.thresholds["semantic"]
        return torch.where(self._probability >= threshold, labels, IGNORE_INDEX) if threshold > 0 else labels

    @property
    def _boundary(self):
        return self._enlarged.boundary.scores[0]

    @property
    def _occlusion(self):
        return self._enlarged.occlusion.scores

    @property
    def _classification(self):
        return self._prediction.classes


def merge_thresholds(known, changes):
    """{task key: threshold} of `known` with `changes`. Raises `UserError` for an unknown task and outside of 0..1."""
    merged = dict(known)
    for task, value in (changes or {}).items():
        if task not in TASKS:
            raise UserError(f"a threshold is for a task of {', '.join(TASKS)}, not for {task!r}")
        if not 0 <= value <= 1:
            raise UserError(f"the threshold of {task} must be from 0 to 1, not {value}")
        merged[task] = float(value)
    return merged
