"""All that is annotated on one image. None means not annotated, an empty structure that nothing was there."""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.file_regions import FileRegions
from maskrcnn_benchmark.structures.members import member_of
from maskrcnn_benchmark.structures.pasting import (
    PasteRules,
    cover_objects,
    follow_objects,
    join_objects,
    join_persons,
    paste_image_labels,
    persons_of,
    pixels_in_front,
    semantic_map_of,
)
from maskrcnn_benchmark.structures.tensors import TensorHolder
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.text import an

_STRUCTURE = ("size", "resize", "transpose", "crop", "pad", "to")  # of a label


class ImageAnnotations(TensorHolder):
    """The annotations of one image, each optional, transformed together.

    Args:
        size: (width, height) of the image.
        instances: `BoxList` with labels int64 [N] (1..K) and, where annotated, masks (`SegmentationMask`), parts
            (`PartMask`), iscrowd bool [N] and what added tasks per region have as their field.
        people: `BoxList` with labels (all 1) and keypoints (`Keypoints`): the keypoint records, which are not linked to
            instances.
        semantic: `SemanticMap`.
        boundary: `BoundaryMap`.
        occlusion: `OcclusionMap`.
        classes: float [C] of 0 and 1, the classes that occur in the image. A crop does not change it.
        image_id: what the data set calls the image.
        known_labels: bool [K + 1], for background and each label 1..K of instances whether the data set annotates it;
            None: all of them. Where a label is not known its objects may be there without a box, so no region is
            background for certain. Background itself is always known.
        labels: {task key: label} of other tasks. A label is a tensor that says something of the image as a whole, which
            a transform does not change, or a structure for this size that can `resize`, `transpose`, `crop`, `pad` and
            move `to` a device, such as `SemanticMap`; to `rotate` and `paste` is asked of it only where that is done.
            One that is None is left out.

    Attributes:
        labels: {task key: label}, also of the tasks that have an attribute of their own, which reads and sets it here:
            instances is the label of "detection", people that of "keypoint", classes that of "classification". The
            label of a task per region is a field of the instances.
        regions: the `FileRegions` of an image of PASCAL in Detail that was read to be tested on, where any task asked
            for them, else None. A transform does not keep them.

    Raises:
        TypeError: a label is neither a tensor nor such a structure, or a tensor with a value per pixel.
        ValueError: a label is for another image size.
    """

    instances = member_of("labels", "detection")
    people = member_of("labels", "keypoint")
    semantic = member_of("labels", "semantic")
    boundary = member_of("labels", "boundary")
    occlusion = member_of("labels", "occlusion")
    classes = member_of("labels", "classification")
    regions: FileRegions | None = None

    def __init__(
        self,
        size: Sequence[int],
        instances: BoxList | None = None,
        people: BoxList | None = None,
        semantic: Any = None,
        boundary: Any = None,
        occlusion: Any = None,
        classes: torch.Tensor | None = None,
        image_id: Any = None,
        known_labels: torch.Tensor | None = None,
        labels: Mapping[str, Any] | None = None,
    ) -> None:
        self.size = size[0], size[1]
        self.labels: dict[str, Any] = {}
        self.image_id = image_id
        self.known_labels = known_labels
        self.instances, self.people, self.semantic = instances, people, semantic
        self.boundary, self.occlusion, self.classes = boundary, occlusion, classes
        self.labels.update((key, label) for key, label in (labels or {}).items() if label is not None)
        for key, label in self.labels.items():
            missing = [] if isinstance(label, torch.Tensor) else [n for n in _STRUCTURE if not hasattr(label, n)]
            if missing:
                raise TypeError(
                    f"the label {key!r} of image {image_id!r} is {an(type(label).__name__)} without {missing[0]!r}; "
                    f"give a structure with {', '.join(_STRUCTURE)}, or a tensor that says something of the image as a "
                    "whole"
                )
            if isinstance(label, torch.Tensor) and label.ndim > 1 and tuple(label.shape[-2:]) == self.size[::-1]:
                raise TypeError(
                    f"the label {key!r} of image {image_id!r} is a tensor {list(label.shape)}, but a tensor says "
                    f"something of the image as a whole, and is not mirrored; give a structure with "
                    f"{', '.join(_STRUCTURE)} for a map, such as SemanticMap"
                )
            if not isinstance(label, torch.Tensor) and tuple(label.size) != self.size:
                raise ValueError(f"{key} is for an image of {tuple(label.size)}, not {self.size} (width, height)")

    @classmethod
    def of(cls, target: "ImageAnnotations | BoxList") -> "ImageAnnotations":
        """`target` itself if it is an `ImageAnnotations`, else what the original library's `BoxList` stands for.

        Its boxes are the instances and, if they have keypoints, the persons as well.
        """
        if isinstance(target, cls):
            return target
        if not isinstance(target, BoxList):
            raise TypeError(f"a target is an ImageAnnotations or a BoxList, not {an(type(target).__name__)}")
        people = None
        if target.has_field("keypoints"):
            people = target.copy_with_fields("keypoints")
            people.add_field("labels", torch.ones(len(target), dtype=torch.int64, device=target.bbox.device))
        return cls(target.size, instances=target, people=people)

    def resize(self, size: Sequence[int]) -> "ImageAnnotations":
        """The annotations of the image resized to (width, height)."""
        return self._transformed(size, lambda member: member.resize(size))

    def transpose(self, method: int) -> "ImageAnnotations":
        """The annotations of the mirrored image. Twice gives them back, see `BoxList.transpose` for the rounding."""
        return self._transformed(self.size, lambda member: member.transpose(method))

    def crop(self, box: Sequence[float]) -> "ImageAnnotations":
        """The annotations within the window (x1, y1, x2, y2) of whole pixels inside the image, x2 and y2 excluded.

        Boxes of which nothing is left are dropped, and objects whose bitmap lost every pixel; a keypoint outside is
        no longer annotated.
        """
        x1, y1, x2, y2 = (int(side) for side in box)
        width, height = self.size
        if not (0 <= x1 < x2 <= width and 0 <= y1 < y2 <= height):
            raise ValueError(f"the window {(x1, y1, x2, y2)} is not inside an image of {self.size} (width, height)")

        def crop(member: Any) -> Any:
            crop_member = _crop_boxes if isinstance(member, BoxList) else type(member).crop
            return crop_member(member, (x1, y1, x2, y2))

        return self._transformed((x2 - x1, y2 - y1), crop)

    def pad(self, size: Sequence[int]) -> "ImageAnnotations":
        """The annotations of the image enlarged to (width, height) to the right and below.

        Nothing is there, except that semantic labels are ignored, not background.
        """
        if size[0] < self.size[0] or size[1] < self.size[1]:
            raise ValueError(f"an image of {self.size} (width, height) cannot be padded to {tuple(size)}")
        return self._transformed(size, lambda member: member.pad(size))

    def rotate(self, angle: float) -> "ImageAnnotations":
        """The annotations of the image rotated about its centre by degrees, counter-clockwise on the screen.

        The size stays. Objects that leave the image are dropped, keypoints that do are no longer annotated, and what
        comes into it from outside is as in `pad`. Image labels stay, as in `crop`.

        Raises:
            UserError: a label of an added task cannot `rotate`; the message names it.
        """
        if not angle:
            return self
        for key, label in self._structures():
            if not hasattr(label, "rotate"):
                raise UserError(
                    f"the label {key!r} is {an(type(label).__name__)} without 'rotate', so that images cannot be "
                    "rotated with it; give it one, or set INPUT.ROTATION 0"
                )

        def rotate(member: Any) -> Any:
            return member.rotate_all(angle) if isinstance(member, BoxList) else member.rotate(angle)

        rotated = self._transformed(self.size, rotate)
        if self.people is not None and self.instances is not None:
            links = persons_of(self.people, self.instances)
            both = self.instances, rotated.instances
            rotated.people = follow_objects((self.people, rotated.people), both, links)
        for key in ("detection", "keypoint"):
            if key in rotated.labels:
                rotated.labels[key] = rotated.labels[key][rotated.labels[key].are_there()]
        return rotated

    def only(self, chosen: torch.Tensor, rules: PasteRules) -> "ImageAnnotations":
        """The annotations with the objects at `chosen`, int64 [M], alone, as they are cut out of the image.

        They are without pixels that are rather those of another object, see `pasting.pixels_in_front`, and those of
        which too little is left are missing. Of the persons those stay that are one of the objects.
        """
        front = pixels_in_front(self.instances, chosen)
        covered, seen = cover_objects(self.instances, front)
        chosen = chosen[seen[chosen]]
        few = self.with_instances(covered[chosen])
        if self.people is not None:
            links = persons_of(self.people, self.instances, rules.keypoint_labels)
            both = self.people, self.people.cover(front)
            people = follow_objects(both, (self.instances, covered), links)
            few.people = people[torch.isin(links, chosen)]
        return few

    def with_instances(self, instances: BoxList) -> "ImageAnnotations":
        """The annotations with other instances; these stay as they are."""
        changed = self._transformed(self.size, lambda member: member)
        changed.instances = instances
        return changed

    def paste(self, other: "ImageAnnotations", mask: torch.Tensor, rules: PasteRules) -> "ImageAnnotations":
        """The annotations of the image with objects of another on it.

        - Objects: those pasted are as they were. Below, masks lose the covered pixels, boxes follow what is left, parts
          are covered; an object of which less than `pasting.LEAST_SEEN` is seen goes.
        - Persons: those pasted are as they were. Below, covered keypoints are occluded, and persons go with their
          object, whose box they follow.
        - Semantic map: pasted pixels are of the object's class, or ignored where the map has no such class.
        - Boundaries and occlusions: within the mask those of the other image, and along its border one that has the
          pasted objects in front; elsewhere those of this image.
        - Image labels: see `pasting.paste_image_labels`.
        - What is not annotated here stays so. What is, the other image must be annotated for too, except for what
          `PasteRules.needed` leaves out. Labels of tasks that are not among `rules.tasks` are left out; of added ones
          that are, tensors stay as they are; those by class are given the pasted objects for the other label.

        Args:
            other: of the same size, with the objects that are pasted and no others: see `only`.
            mask: bool [H, W], the pixels of all these objects.
            rules: names and tasks.

        Raises:
            UserError: the label of a task that is among `rules.tasks` cannot `paste`; the message names it.
        """
        taken = rules.needed(self.labels) - {"keypoint"}
        labels = {key: _pasted(key, self.labels[key], other.labels[key], mask) for key in self.labels if key in taken}
        pasted, semantic, below = other.instances, None, None
        by_class = (rules.by_class & self.labels.keys()) - {"detection", "semantic", "classification"}
        labels |= {key: _pasted(key, self.labels[key], pasted, mask) for key in by_class}
        if self.instances is not None:
            below, seen = cover_objects(self.instances, mask)
            labels["detection"] = join_objects(below[seen], pasted, rules.fields)
        if self.people is not None and "keypoint" in rules.tasks:
            people, kept = cover_objects(self.people, mask)
            if below is not None:
                links = persons_of(self.people, self.instances, rules.keypoint_labels)
                people = follow_objects((self.people, people), (self.instances, below), links)
                kept = torch.where(links >= 0, seen[links], kept) if len(seen) else kept
            labels["keypoint"] = join_persons(people[kept], other.people)
        if self.semantic is not None and "semantic" in rules.tasks:
            over = self.semantic.paste(semantic_map_of(pasted, rules.semantic), mask)
            labels["semantic"], semantic = over, (self.semantic, over)
        if self.classes is not None and "classification" in rules.tasks:
            present = labels.get("detection", pasted).get_field("labels")
            labels["classification"] = paste_image_labels(self.classes, rules, semantic, present)
        return ImageAnnotations(self.size, image_id=self.image_id, known_labels=self.known_labels, labels=labels)

    def __repr__(self) -> str:
        return f"ImageAnnotations(size={self.size}, image_id={self.image_id}, labels={sorted(self.labels)})"

    def _structures(self):
        """(key, label) of all but tensors, and (name, field) of those of objects and persons that transforms move."""
        for key, label in self.labels.items():
            if not isinstance(label, torch.Tensor):
                yield key, label
            if isinstance(label, BoxList):
                fields = label.extra_fields.items()
                yield from ((n, x) for n, x in fields if hasattr(x, "resize") and not isinstance(x, torch.Tensor))

    def _transformed(self, size, transform):
        labels = {key: x if isinstance(x, torch.Tensor) else transform(x) for key, x in self.labels.items()}
        return ImageAnnotations(size, image_id=self.image_id, known_labels=self.known_labels, labels=labels)


def _pasted(key: str, label: Any, other: Any, mask: torch.Tensor) -> Any:
    if isinstance(label, torch.Tensor):
        return label
    if not hasattr(label, "paste"):
        raise UserError(
            f"the label {key!r} is {an(type(label).__name__)} without 'paste', though its task says that it can be "
            "pasted; give it one, or set can_be_pasted False or INPUT.COPY_PASTE 0"
        )
    return label.paste(other, mask)


def _crop_boxes(boxes: BoxList, window: Sequence[int]) -> BoxList:
    x1, y1, x2, y2 = boxes.convert("xyxy").bbox.unbind(1)
    left, top, right, bottom = window
    inside = (x2 >= left) & (x1 <= right - 1) & (y2 >= top) & (y1 <= bottom - 1)
    boxes = boxes[inside]
    cropped = boxes.crop(window)
    if not boxes.has_field("masks") or boxes.get_field("masks").mode != "mask":
        return cropped
    before, after = (b.get_field("masks").instances.masks.bool().flatten(1).any(dim=1) for b in (boxes, cropped))
    lost = before & ~after
    return cropped[~lost] if lost.any() else cropped
