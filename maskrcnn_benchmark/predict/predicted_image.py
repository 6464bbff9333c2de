"""A picture with its prediction: what a user gets of every task, drawings, and files."""

import copy
import json
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from yacs.config import CfgNode

from maskrcnn_benchmark.predict.result_files import ResultWriter, image_entry
from maskrcnn_benchmark.predict.scene import LARGEST_IN_JSON, Scene
from maskrcnn_benchmark.predict.video import Clip
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.completion import complete_outputs
from maskrcnn_benchmark.tasks.consistency import consistency
from maskrcnn_benchmark.tasks.panoptic import PANOPTIC, merge_rules
from maskrcnn_benchmark.tasks.scene import with_derived
from maskrcnn_benchmark.tasks.task import TASKS, Task
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import counted
from maskrcnn_benchmark.visualization.canvas import canvas_scale
from maskrcnn_benchmark.visualization.prediction_picture import draw_grid, draw_overlay, overlay_scale

LAYOUTS = ("overlay", "grid", "scene")


class PredictedImage:
    """An image with what a network predicted on it. A task that the network was not asked is None.

    `predicted.detection` and `predicted["detection"]` are the same, for each task:

        detection       `Objects`
        instance        `Masks`
        keypoint        `Persons`
        part            uint8 [H, W]: part label 1..P, 0 none
        semantic        uint8 [H, W]: class 0..C-1, 255 where it is less probable than the threshold
        boundary        float [H, W]: probability of a boundary
        occlusion       float [3, H, W]: probability of an occlusion edge, sin and cos of its direction, which has the
                        side in front on its left (x to the right, y down)
        classification  float [L]: probability of each image label
        scene           `scene.Scene`: all of these as one list of segments
        an added task   the scores of its map, float [C, H, W], its vector, or of one per region `ObjectsWithValues`

    Thresholds decide which objects there are and what pictures show; files hold everything, for evaluation needs the
    whole ranking.

    Attributes:
        image: uint8 [H, W, 3] RGB.
        name: what its files are called.
        path: where it came from, "" for an image in memory.
        tasks: keys of the tasks that are predicted.
        vocabulary: the `Vocabulary` with the names of all labels.
        thresholds: {task key: threshold}, by default those of the tasks (`Task.threshold`).
        seconds: of a frame of a video its time from the beginning, else None.
        clip: the `video.Clip` that it is a frame of, or None.
    """

    def __init__(
        self,
        image: np.ndarray,
        prediction: ImagePrediction,
        vocabulary: Vocabulary,
        tasks: Iterable[str],
        name: str = "image",
        path: str = "",
        thresholds: Mapping[str, float] | None = None,
        seconds: float | None = None,
        clip: Clip | None = None,
        cfg: CfgNode | None = None,
    ) -> None:
        """`prediction`: on the CPU, boxes in pixels of the image, maps as coarse as the heads left them.

        `cfg`: the options of derived tasks; None for their defaults.
        """
        self.image = image
        self.name = name
        self.path = path
        self.tasks = tuple(tasks)
        self.vocabulary = vocabulary
        self.thresholds = merge_thresholds(thresholds)
        self.seconds = seconds
        self.clip = clip
        self._coarse = prediction
        self._cfg = cfg
        self._views: dict[str, Any] = {}
        self._scenes: dict[float, Scene] = {}  # the last one, by its threshold

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of the image in pixels."""
        return self.image.shape[1], self.image.shape[0]

    @cached_property
    def prediction(self) -> ImagePrediction:
        """The plain outputs by task key (`prediction.outputs`), whatever the thresholds are.

        Boxes are in pixels of the image, maps have one cell per pixel, each computed lazily.
        """
        tasks = [TASKS[key] for key in self.tasks]
        return complete_outputs(self._coarse.resize(self.size), tasks, self.vocabulary, self._cfg)

    @property
    def nbytes(self) -> int:
        """About how much memory it takes: the image, its maps at a number per pixel and channel, masks of objects."""
        width, height = self.size
        maps = [output.scores for output in self._coarse.outputs.values() if hasattr(output, "scores")]
        objects = self._coarse.instances
        masks = len(objects) if objects is not None and objects.has_field("mask") else 0
        return width * height * (3 + 4 * sum(len(scores) + 1 for scores in maps) + masks)

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "PredictedImage":
        """The same prediction under other thresholds, {task key: threshold}; the network is not run again."""
        changed = copy.copy(self)
        changed.thresholds = merge_thresholds(thresholds, self.thresholds)
        kept = (key for key in self._views if changed.thresholds[key] == self.thresholds[key])
        changed._views = {key: self._views[key] for key in kept}
        changed._scenes = dict(self._scenes)
        return changed

    def __getitem__(self, task: str) -> Any:
        if task not in TASKS:
            raise KeyError(f"there is no task {task!r}; there are {', '.join(TASKS)}")
        if task not in self.tasks:
            return None
        if task not in self._views:
            self._views[task] = TASKS[task].view(self.prediction, self.vocabulary, self.thresholds[task])
        return self._views[task]

    def __getattr__(self, name: str) -> Any:
        if hasattr(type(self), name):  # a property failed, and says itself why
            return object.__getattribute__(self, name)
        if not name.startswith("_") and name in TASKS:
            return self[name]
        raise AttributeError(f"a predicted image has no {name!r}; its tasks are {', '.join(TASKS)}")

    @property
    def scene(self) -> Scene:
        """All that is predicted as one: the segments of the image with parts, joints, and what they are in front of.

        It has the objects that reach the threshold of panoptic segmentation. It is made of masks and of the semantic
        map; of what else the network does not predict, the segments say None.

        Raises:
            UserError: the network predicts no masks or no semantic map.
        """
        return self._scene_at(self.thresholds[PANOPTIC.key])

    def _scene_at(self, threshold: float) -> Scene:
        if threshold not in self._scenes:
            self._scenes = {threshold: Scene.of(self._whole, self.vocabulary, threshold)}
        return self._scenes[threshold]

    @property
    def consistency(self) -> dict[str, float | None]:
        """Where the tasks contradict each other: {name: value} of `tasks.consistency.FIGURES`.

        None where a task is not predicted or there is nothing to take a share of; thresholds are those of an
        evaluation.
        """
        return consistency(self._whole, self.vocabulary, merge_rules(self._cfg).score)

    @cached_property
    def _whole(self) -> ImagePrediction:
        """The prediction with the outputs of all derived tasks of a scene, whether or not these are on."""
        return with_derived(self.prediction, self.vocabulary, self._cfg)

    def draw(
        self,
        tasks: str | Iterable[str] | None = None,
        thresholds: Mapping[str, float] | None = None,
        layout: str | None = None,
        scale: float | None = None,
    ) -> Image.Image:
        """A picture of the prediction.

        Args:
            tasks: a task key or several. None draws in a grid all that are predicted, and on the photograph objects and
                keypoints or, where the network predicts none of these, all.
            thresholds: {task key: threshold} for this picture alone.
            layout: "overlay" paints on the photograph; "grid" draws a panel per task below its title, the photograph
                first; "scene" is one picture of all segments with parts and order, whatever `tasks` says; None is the
                grid for several tasks and for a single key its panel alone.
            scale: pixels of the picture, or of a panel, per pixel of the image. By default panels are 480 to 1000
                pixels wide so that their text can be read, and an overlay has the image's own size, but enlarged where
                the image is narrower than 480 pixels. A legend stands in a strip below that.

        Returns:
            PIL RGB image.
        """
        if layout not in (None, *LAYOUTS):
            raise UserError(f"a layout is one of {', '.join(map(repr, LAYOUTS))}, not {layout!r}")
        if scale is not None and not 0 < scale <= 100:
            raise UserError(f"the scale must be above 0 and at most 100, not {scale}")
        values = self.thresholds if thresholds is None else merge_thresholds(thresholds, self.thresholds)
        if layout == "scene":
            return self._scene_at(values[PANOPTIC.key]).draw(self.image, scale)
        if layout == "overlay":
            if tasks is None:
                tasks = [key for key in self.tasks if TASKS[key].on_photograph] or self.tasks
            size = scale or overlay_scale(*self.size)
            shown = self._at_scale(size)
            how: Any = {"scale": size, "steady": self.clip is not None}
            return Image.fromarray(draw_overlay(self.image, shown, self.vocabulary, self._chosen(tasks), values, **how))
        chosen = self._chosen(tasks)
        shown = self._at_scale(scale or canvas_scale(*self.size))
        panels = [task.draw(self.image, shown, self.vocabulary, values[task.key], scale) for task in chosen]
        if isinstance(tasks, str) and layout is None:
            return Image.fromarray(panels[0])
        return Image.fromarray(draw_grid(self.image, panels, [task.title for task in chosen], scale))

    @cached_property
    def stored(self) -> dict[str, Any]:
        """{task key: stored form of its prediction}: what is written to files and what evaluators score."""
        return {key: TASKS[key].encode(self.prediction, self.vocabulary) for key in self.tasks}

    def to_dict(self, largest: int | None = LARGEST_IN_JSON, scene: bool = False) -> dict[str, Any]:
        """The prediction as one dictionary of plain values.

        `answers` holds the rows that `save` would write into its lists, in COCO's result formats, `maps` its PNG files
        in base64, and `classes` what every number means (docs/predicting.md).

        Args:
            largest: where a side of the image is longer, in pixels, masks and maps are those of the image shrunk to it,
                and "map_width" and "map_height" say so; None for those of the image itself, as in `save`. Boxes and
                keypoints are in pixels of the image in any case.
            scene: add `scene`, `Scene.to_dict`.
        """
        entry = self._entry(largest)
        return {**entry, "scene": self.scene.to_dict(largest)} if scene else entry

    def _entry(self, largest: int | None) -> dict[str, Any]:
        """`to_dict` without the scene."""
        shrink = 1.0 if largest is None else min(1.0, largest / max(self.size))
        if shrink == 1:
            return image_entry(self, self.stored, self.size)
        width, height = (max(1, round(side * shrink)) for side in self.size)
        tasks = [TASKS[key] for key in self.tasks]
        small = complete_outputs(self._coarse.resize((width, height)), tasks, self.vocabulary, self._cfg)
        stored = {
            task.key: task.encode(small if all(f.has_size for f in task.files()) else self.prediction, self.vocabulary)
            for task in tasks
        }
        return image_entry(self, stored, (width, height))

    def to_json(self, largest: int | None = LARGEST_IN_JSON, scene: bool = False) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(largest, scene))

    def save(self, folder: str | Path) -> None:
        """Write the prediction into a folder in the formats that `tools/evaluate.py --predictions` reads.

        Predictions on other images that the folder holds already are kept.
        """
        writer = ResultWriter(folder, self.vocabulary, self.tasks)
        with writer:
            writer.add(self)
            writer.finish()

    def __repr__(self) -> str:
        width, height = self.size
        found = "" if self.detection is None else f", {counted(len(self.detection), 'object')}"
        return f"PredictedImage({self.name!r}, {width}x{height}, tasks: {', '.join(self.tasks)}{found})"

    def _chosen(self, tasks: str | Iterable[str] | None) -> list[Task]:
        """The tasks of keys, in the registry's order."""
        chosen = list(self.tasks) if tasks is None else [tasks] if isinstance(tasks, str) else list(tasks)
        lacking = [key for key in chosen if key not in self.tasks]
        if lacking:
            raise UserError(f"task {lacking[0]!r} is not predicted; there are {', '.join(self.tasks)}")
        return [task for key, task in TASKS.items() if key in chosen]

    def _at_scale(self, scale: float) -> ImagePrediction:
        """The `ImagePrediction` to draw at a scale: maps that are made already where they fit, else the coarse ones."""
        if scale == 1 or any(TASKS[key].refiner(self._cfg) is not None for key in self.tasks):
            return self.prediction
        derived = [key for key in self.tasks if TASKS[key].per == "derived" and key in self.prediction.outputs]
        if not derived:
            return self._coarse
        outputs = {**self._coarse.outputs, **{key: self.prediction.outputs[key] for key in derived}}
        return ImagePrediction(self._coarse.size, image_id=self._coarse.image_id, outputs=outputs)


def merge_thresholds(
    changes: Mapping[str, float] | None = None, known: Mapping[str, float] | None = None
) -> dict[str, float]:
    """{task key: threshold} of all tasks: `changes`, then `known`, then each task's own.

    Raises:
        UserError: a change is for an unknown task or outside of 0..1.
    """
    merged = {**{key: task.threshold for key, task in TASKS.items()}, **(known or {})}
    for key, value in (changes or {}).items():
        if key not in TASKS:
            raise UserError(f"a threshold is for a task of {', '.join(TASKS)}, not for {key!r}")
        if not 0 <= value <= 1:
            raise UserError(f"the threshold of {key} must be from 0 to 1, not {value}")
        merged[key] = float(value)
    return merged
