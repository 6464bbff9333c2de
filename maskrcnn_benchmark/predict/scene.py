"""The scene of an image as one object: every segment with its parts, its joints and what it is in front of."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, overload

import cv2
import numpy as np
import torch
from PIL import Image
from yacs.config import CfgNode

from maskrcnn_benchmark.evaluation.coco.rows import encode
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.image_prediction import ImagePrediction
from maskrcnn_benchmark.structures.panoptic_map import VOID
from maskrcnn_benchmark.structures.pasting import persons_of
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.instance import INSTANCE
from maskrcnn_benchmark.tasks.panoptic import Segment, segments_of
from maskrcnn_benchmark.tasks.part_panoptic import part_areas, part_names
from maskrcnn_benchmark.tasks.scene import BACKDROP, SceneMaps
from maskrcnn_benchmark.visualization.canvas import Canvas

LARGEST_IN_JSON = 2048  # pixels of a side; more than networks are shown
PARTS_SAID = 6  # of a segment, in words

Joints = dict[str, tuple[float, float, int]]


@dataclass(frozen=True, repr=False)
class SceneSegment(Segment):
    """A segment of a scene. None says that something is not predicted or not annotated, {} that there is nothing.

    Attributes:
        is_crowd: whether it is several objects of a class, or nobody knows which. Annotations alone have such.
        parts: {name of a part: its pixels}, in the order of the part set; {} of a class without parts.
        in_front_of: {id of a segment that this one hides part of: strength}, the strongest first. The strength is about
            the length, in pixels, of the edges between the two that say so. Two that hide parts of each other have each
            other in both.
        behind: the same of the segments that hide part of this one.
        joints: {name of a keypoint: (x, y, code)} in pixels; the code is 1 of a prediction and the data set's own of
            annotations. {} of a class without keypoints.
        share_hidden: of the object's own mask, as it is before segments are made of it, the share of pixels that other
            segments hold: 0..1. None of stuff and crowds.
    """

    is_crowd: bool
    parts: dict[str, int] | None
    in_front_of: dict[int, float] | None
    behind: dict[int, float] | None
    joints: Joints | None
    share_hidden: float | None
    scene: "Scene" = field(compare=False)

    @property
    def mask(self) -> torch.Tensor:
        """bool [H, W], its pixels."""
        return self.scene.ids == self.id

    def part_mask(self, name: str) -> torch.Tensor:
        """bool [H, W], the pixels of one of its `parts`. Raises `KeyError` for one that it has not."""
        if name not in (self.parts or ()):
            raise KeyError(f"{self} has no part {name!r}")
        labels = [k for k, label in enumerate(self.scene.part_names, 1) if label == name]
        parts: Any = self.scene.parts
        return self.mask & torch.isin(parts, torch.tensor(labels, dtype=torch.uint8))

    def __repr__(self) -> str:
        words = [self.scene.name_of(self.id)]
        if self.is_thing and self.score < 1:
            words.append(f"{self.score:.2f}")
        if self.parts:
            shown = list(self.parts)[:PARTS_SAID]
            words.append(f"({', '.join(shown)}{', ...' if len(shown) < len(self.parts) else ''})")
        said = [" ".join(words)]
        for preposition, others in (("in front of", self.in_front_of), ("behind", self.behind)):
            if others:
                said.append(f"{preposition} {', '.join(self.scene.name_of(other) for other in others)}")
        return ", ".join(said)


class Scene(Sequence[SceneSegment]):
    """The segments of an image, which do not overlap: `scene[k - 1]` is the segment with the id k.

    Objects come by falling score, then stuff; those of annotations in the order of their file.

        for segment in predicted.scene:
            print(segment)  # person 0.98 (head, torso), in front of horse

    Attributes:
        size: (width, height) in pixels.
        ids: int32 [H, W], ids of segments, 0 where there is none.
        parts: uint8 [H, W], label 1..P of the part within a segment, 255 of an unknown one, 0 where there is none; None
            where parts are not predicted or not annotated.
        part_names: of the labels 1..P.
    """

    def __init__(
        self,
        maps: SceneMaps,
        vocabulary: Vocabulary,
        places: Mapping[int, int],
        joints: Mapping[int, Joints | None] | None,
        hidden: Mapping[int, float],
        unparted: Sequence[int] = (),
    ) -> None:
        """Join what is known of the segments of maps.

        Args:
            maps: the `SceneMaps`.
            vocabulary: names the labels.
            places: {row of an object: its place among the objects of the image}.
            joints: {row of an object: its joints}, None for those that are not annotated; what it leaves out has none.
                None where there are no keypoints at all.
            hidden: {row of an object: the share of its mask that others hold}.
            unparted: rows of objects whose parts nobody annotated.
        """
        self._maps, self._vocabulary = maps, vocabulary
        segments = maps.segments
        self.ids = torch.from_numpy(segments.ids)
        self.parts = None if maps.parts is None else torch.from_numpy(maps.parts)
        self.part_names = [] if vocabulary.parts is None else part_names(vocabulary.parts)
        areas: list[dict[str, int] | None] = [None] * len(segments)
        if maps.parts is not None:
            areas = [*part_areas(segments.ids, maps.parts, len(segments), vocabulary.parts)]
        front, behind = self._order()
        rows, crowds = segments.objects.tolist(), segments.is_crowd.tolist()
        self._segments = [
            SceneSegment(
                **vars(segment),
                is_crowd=crowd,
                parts=None if row in unparted else own,
                in_front_of=None if front is None else front[segment.id],
                behind=None if behind is None else behind[segment.id],
                joints=None if joints is None else joints.get(row, {}),
                share_hidden=hidden.get(row),
                scene=self,
            )
            for segment, row, crowd, own in zip(
                segments_of(segments, maps.classes.classes, places), rows, crowds, areas
            )
        ]

    @classmethod
    def of(
        cls, prediction: ImagePrediction, vocabulary: Vocabulary, threshold: float = 0.0, cfg: CfgNode | None = None
    ) -> "Scene":
        """The scene of a prediction. The derived tasks that it is made of need not be on.

        Args:
            prediction: its boxes are in pixels of the image, its maps have one cell per pixel.
            vocabulary: names the labels.
            threshold: least score of an object.
            cfg: the options of derived tasks; None for their defaults.

        Raises:
            UserError: there are no masks or no semantic map.
        """
        maps = SceneMaps.of(prediction, vocabulary, threshold, cfg)
        objects: Any = prediction.instances
        order = objects.get_field("scores").argsort(descending=True, stable=True)
        places = {row: place for place, row in enumerate(order.tolist())}
        joints: dict[int, Joints | None] | None = None
        if vocabulary.joints is not None and objects.has_field("keypoints"):
            labels, names = objects.get_field("labels").tolist(), vocabulary.joints.names
            found = objects.get_field("keypoints").keypoints.tolist()
            joints = {
                row: _named(names, found[row]) for row in maps.numbers if labels[row] in vocabulary.keypoint_labels
            }
        return cls(maps, vocabulary, places, joints, _hidden(maps, prediction, vocabulary, places))

    @classmethod
    def of_annotations(cls, annotations: ImageAnnotations, vocabulary: Vocabulary) -> "Scene":
        """The scene that is annotated; `object` is the place of an object in the file.

        Raises:
            UserError: there are no masks or no semantic map.
        """
        maps = SceneMaps.of(annotations, vocabulary)
        objects: Any = annotations.instances
        windows = objects.get_field("masks").instances.windows()
        patches, hidden = windows.patches(), {}
        for row, number in maps.numbers.items():
            x, y, width, height = windows.windows[row]
            inside = patches[row].cpu().numpy() > 0
            hidden[row] = _share(inside, maps.segments.ids[y : y + height, x : x + width], number)
        places = {row: row for row in maps.numbers}
        joints = _annotated_joints(maps, annotations, vocabulary)
        return cls(maps, vocabulary, places, joints, hidden, _unparted(maps, objects))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels."""
        return self._maps.segments.size

    def name_of(self, number: int) -> str:
        """What the segment with an id is called: its class, with the id where several segments are of it."""
        classes = self._maps.segments.classes
        name = self._maps.classes.names[classes[number - 1]]
        return name if np.count_nonzero(classes == classes[number - 1]) == 1 else f"{name} #{number}"

    def draw(self, image: Any, scale: float | None = None) -> Image.Image:
        """A picture: segments in the colours of their classes, contours of parts, names, and arrows to what is behind.

        Args:
            image: the photograph, PIL or uint8 [H, W, 3] RGB.
            scale: pixels of the picture per pixel of the image; None makes the picture legible.
        """
        canvas = Canvas(np.asarray(image), scale=scale, **BACKDROP)
        self._maps.paint(canvas, self._vocabulary)
        return Image.fromarray(canvas.finish())

    def to_dict(self, largest: int | None = LARGEST_IN_JSON, masks: bool = True) -> dict[str, Any]:
        """The scene as plain values, see docs/scene.md.

        Args:
            largest: where a side of the image is longer, in pixels, masks are those of the image shrunk to it, and
                "map_width" and "map_height" say so; all other numbers stay in pixels of the image.
            masks: whether to write masks, of segments and parts, as COCO's run lengths.
        """
        shrink = 1.0 if largest is None else min(1.0, largest / max(self.size))
        width, height = size = max(1, round(self.size[0] * shrink)), max(1, round(self.size[1] * shrink))
        ids = self._maps.segments.resize(size).ids
        parts = self._maps.parts
        if parts is not None:
            parts = cv2.resize(parts, size, interpolation=cv2.INTER_NEAREST_EXACT)
        return {
            "width": self.size[0],
            "height": self.size[1],
            **({} if not masks or size == self.size else {"map_width": width, "map_height": height}),
            "segments": [self._entry(segment, ids, parts, masks) for segment in self],
        }

    def to_json(self, largest: int | None = LARGEST_IN_JSON, masks: bool = True) -> str:
        """`to_dict` as JSON text."""
        return json.dumps(self.to_dict(largest, masks))

    @overload
    def __getitem__(self, index: int) -> SceneSegment: ...
    @overload
    def __getitem__(self, index: slice) -> list[SceneSegment]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._segments[index]

    def __len__(self) -> int:
        return len(self._segments)

    def __repr__(self) -> str:
        lines = "".join(f"\n  {segment}" for segment in self)
        return f"Scene({self.size[0]}x{self.size[1]}, {len(self)} segments){lines}"

    def _order(self) -> tuple[dict[int, dict[int, float]] | None, dict[int, dict[int, float]] | None]:
        """({id of a segment: {id of another: strength}} of those in front of others, of those behind them)."""
        order = self._maps.order
        if order is None:
            return None, None
        numbers = self._maps.numbers
        ids = [numbers[row] for row in order.objects.tolist()]
        front: dict[int, dict[int, float]] = {k: {} for k in range(1, len(self._maps.segments) + 1)}
        behind: dict[int, dict[int, float]] = {k: {} for k in front}
        pairs = np.argwhere(order.in_front)
        for i, j in pairs[np.argsort(-order.votes[tuple(pairs.T)], kind="stable")].tolist():
            strength = float(order.votes[i, j])
            front[ids[i]][ids[j]] = behind[ids[j]][ids[i]] = strength
        return front, behind

    def _entry(self, segment: SceneSegment, ids: np.ndarray, parts: Any, masks: bool) -> dict[str, Any]:
        """A segment for `to_dict`, with masks of maps [H, W]; `parts` is None where there are none."""
        x1, y1, x2, y2 = segment.box
        here = ids == segment.id

        def entry(area: int, mask: np.ndarray) -> dict[str, Any]:
            return {"area": area, **({"segmentation": _code(mask)} if masks else {})}

        def part(name: str, area: int) -> dict[str, Any]:
            labels = [k for k, label in enumerate(self.part_names, 1) if label == name]
            return entry(area, here & np.isin(parts, labels)) if masks else {"area": area}

        def others(strengths: Mapping[int, float] | None) -> list[dict[str, Any]] | None:
            if strengths is None:
                return None
            return [{"id": other, "strength": round(strength, 2)} for other, strength in strengths.items()]

        return {
            "id": segment.id,
            "name": segment.name,
            "is_thing": segment.is_thing,
            "is_crowd": segment.is_crowd,
            "object": segment.object,
            "score": segment.score,
            "bbox": [x1, y1, x2 - x1 + 1, y2 - y1 + 1],
            **entry(segment.area, here),
            "parts": None if segment.parts is None else {name: part(name, a) for name, a in segment.parts.items()},
            "in_front_of": others(segment.in_front_of),
            "behind": others(segment.behind),
            "joints": segment.joints,
            "share_hidden": segment.share_hidden,
        }


def _named(names: Sequence[str], record: Sequence[Sequence[float]]) -> Joints:
    """{name: (x, y, code)} of the keypoints [K, 3] that there are."""
    return {name: (x, y, int(code)) for name, (x, y, code) in zip(names, record) if code > 0}


def _annotated_joints(
    maps: SceneMaps, annotations: ImageAnnotations, vocabulary: Vocabulary
) -> dict[int, Joints | None] | None:
    """{row of an object that has joints: these, None where nobody annotated them}; None without any annotated."""
    objects, people = annotations.instances, annotations.people
    if vocabulary.joints is None or people is None:
        return None
    owners, names = persons_of(people, objects, vocabulary.keypoint_labels).tolist(), vocabulary.joints.names
    labels = objects.get_field("labels").tolist()
    joints: dict[int, Joints | None] = {row: None for row in maps.numbers if labels[row] in vocabulary.keypoint_labels}
    found = people.get_field("keypoints").keypoints.tolist()
    joints.update({row: _named(names, record) for row, record in zip(owners, found) if row >= 0})
    return joints


def _unparted(maps: SceneMaps, objects: Any) -> list[int]:
    """Rows of annotated objects of classes with parts whose parts nobody annotated."""
    if not objects.has_field("parts"):
        return []
    annotated = objects.get_field("parts").annotated.tolist()
    has_parts = maps.classes.has_parts[maps.segments.classes].tolist()
    return [row for row, number in maps.numbers.items() if has_parts[number - 1] and not annotated[row]]


def _hidden(
    maps: SceneMaps, prediction: ImagePrediction, vocabulary: Vocabulary, places: Mapping[int, int]
) -> dict[int, float]:
    """The share of each object's mask that other segments hold; masks that the order has are not pasted again."""
    ids, numbers = maps.segments.ids, maps.numbers
    if not numbers:
        return {}
    masks = {} if maps.order is None else dict(zip(maps.order.objects.tolist(), maps.order.masks))
    if len(masks) < len(numbers):
        least = float(maps.segments.scores.min())
        pasted = INSTANCE.view(prediction, vocabulary, least).masks.numpy()  # type: ignore[union-attr]
        masks = {row: pasted[places[row]] for row in numbers}
    return {row: _share(masks[row], ids, number) for row, number in numbers.items()}


def _share(mask: np.ndarray, ids: np.ndarray, number: int) -> float:
    """Of a mask, the share of pixels that belong to other segments; both [h, w]."""
    under = ids[mask]
    return float(np.count_nonzero((under != number) & (under != VOID)) / max(1, len(under)))


def _code(mask: np.ndarray) -> dict[str, Any]:
    """COCO's run lengths of a mask, with text in place of bytes."""
    (code,) = encode(mask[None])
    return {**code, "counts": code["counts"].decode()}
