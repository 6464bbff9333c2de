"""Objects of one image pasted on another: which can be, which persons go along, and what is left of those below.

Copy-paste (Ghiasi et al., Simple Copy-Paste is a Strong Data Augmentation Method for Instance Segmentation, CVPR 2021)
for every label that an image can have: `ImageAnnotations.paste`. Each structure says itself what becomes of it where it
is covered (`cover`), or what comes in its place (`paste`).
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch

from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_iou, cat_boxlist
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.part_mask import PartMask
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask

# An object of which a smaller share is still seen is taken for wholly covered: nobody would recognise what is left
LEAST_SEEN = 0.05
# Least overlap of a person's box with that of the object which it is taken for
SAME_OBJECT = 0.5
# Fields of objects that an image may lack, and what they are then
_IMPLIED = {"iscrowd": False, "has_mask": True}


@dataclass(frozen=True)
class PasteRules:
    """What pasting has to know of the names that both images share, and of the tasks.

    Attributes:
        semantic: uint8 [K + 1], the class in the semantic map of each label of objects, IGNORE_INDEX for none.
        image_labels: int64 [K + 1], the image label of each label of objects, -1 for none.
        semantic_of_image_labels: int64 [C], the class in the semantic map of each image label, -1 for none.
        keypoint_labels: labels of the objects that may have keypoints.
        tasks: keys of the tasks whose label of an image stays true when objects are pasted on it; other labels are
            left out of such an image.
        by_class: keys of those of them whose label of an object follows from its class and its mask.
        fields: those of objects that stay true likewise.
    """

    semantic: torch.Tensor
    image_labels: torch.Tensor
    semantic_of_image_labels: torch.Tensor
    keypoint_labels: tuple[int, ...]
    tasks: frozenset[str]
    by_class: frozenset[str]
    fields: frozenset[str]

    def needed(self, keys: Iterable[str]) -> set[str]:
        """Keys of the labels that objects must bring along to be pasted on an image with those of `keys`.

        Nobody knows the boundaries, occlusions and keypoints of an object on whose image they are not annotated. Its
        class, by which it has a place in the semantic map and among the image labels, is always known.
        """
        return {key for key in keys if key in self.tasks - self.by_class}


def fit_to_paste(objects: BoxList, below: BoxList | None) -> torch.Tensor:
    """Which objects, with masks, can be pasted on an image with others, None or with masks as well: bool [M].

    Not crowds, nor objects without a mask, nor those that touch the box of one without: nobody knows what of that they
    would cover.
    """
    masks = objects.get_field("masks").convert("mask")
    fit = masks.areas() > 0
    if objects.has_field("iscrowd"):
        fit &= ~objects.get_field("iscrowd").bool()
    if below is None or not len(below):
        return fit
    boxes = below.convert("xyxy").bbox[below.get_field("masks").areas() == 0]
    if not len(boxes):
        return fit
    bitmaps = masks.instances.masks.bool()
    for x1, y1, x2, y2 in torch.cat((boxes[:, :2].clamp(min=0).floor(), boxes[:, 2:].ceil() + 1), 1).int().tolist():
        fit &= ~bitmaps[:, y1:y2, x1:x2].flatten(1).any(dim=1)
    return fit


def in_windows(objects: BoxList) -> BoxList:
    """The same objects with their masks as `SegmentationMask.in_windows`, once for all that follows."""
    same = objects[:]
    same.add_field("masks", objects.get_field("masks").in_windows())
    return same


def persons_of(people: BoxList, instances: BoxList, labels: Sequence[int] | None = None) -> torch.Tensor:
    """Which object each person with keypoints is: int64 [P], -1 for none. Nothing but where they lie ties the two.

    It is the object, of `labels` if these are given, of the greatest overlap, if that is `SAME_OBJECT` or more and no
    other person overlaps with it more.
    """
    if not len(people) or not len(instances):
        return torch.full((len(people),), -1, dtype=torch.int64, device=people.bbox.device)
    overlap = boxlist_iou(people, instances)
    if labels is not None:
        overlap = overlap * torch.isin(instances.get_field("labels"), overlap.new_tensor(labels).long())
    most, place = overlap.max(dim=1)
    mutual = overlap.argmax(dim=0)[place] == torch.arange(len(people), device=place.device)
    return torch.where(mutual & (most >= SAME_OBJECT), place, -1)


def follow_objects(people: tuple[BoxList, BoxList], instances: tuple[BoxList, BoxList], links: torch.Tensor) -> BoxList:
    """Persons after a change of the image, who follow the objects that they are by `persons_of`.

    A person has the box of its object, if that has another now, and else the own one of before. Persons that are no
    object are as given.

    Args:
        people, instances: before and after the change, as many.
        links: of the persons to the objects before.
    """
    before, after = people
    boxes = after.convert("xyxy").bbox
    if len(instances[0]):
        old, new = (each.convert("xyxy").bbox[links] for each in instances)
        same = (old == new).all(dim=1, keepdim=True)
        boxes = torch.where((links < 0)[:, None], boxes, torch.where(same, before.convert("xyxy").bbox, new))
    moved = BoxList(boxes, after.size, "xyxy", after.is_continuous)
    moved.extra_fields = dict(after.extra_fields)
    return moved.convert(after.mode)


def cover_objects(objects: BoxList, mask: torch.Tensor) -> tuple[BoxList, torch.Tensor]:
    """Objects where something else covers the image, mask bool [H, W]: (`BoxList.cover` of all, bool [N] who is seen).

    An object is seen if `LEAST_SEEN` of its pixels are and one without a mask if a pixel of its box is.
    """
    covered = objects.cover(mask)
    seen = covered.are_there()
    if objects.has_field("masks"):
        before, after = (boxes.get_field("masks").areas() for boxes in (objects, covered))
        seen &= after >= LEAST_SEEN * before
    return covered, seen


def pixels_in_front(objects: BoxList, chosen: torch.Tensor) -> torch.Tensor:
    """bool [H, W]: where an object that is not `chosen`, int64 [M], lies in front of those that are.

    Masks of objects that hide one another overlap in some data sets, as those of a table and of what stands on it. Then
    the smaller object is the one in front.
    """
    windows = objects.get_field("masks").instances.windows()
    order = windows.counts().argsort(descending=True, stable=True)
    others = torch.ones(len(objects), dtype=torch.uint8)
    others[chosen] = 0
    return windows.pick(order).paint(others[order].tolist(), 0).bool()


def join_objects(below: BoxList, above: BoxList, fields: frozenset[str]) -> BoxList:
    """Objects of one image and others that were pasted on it, with what stays true of them: see `PasteRules.fields`.

    Parts of those pasted are not annotated if their image has none; if the image below has none, it gets none.
    """
    names = {"labels", "masks", *(name for name in fields if below.has_field(name) and above.has_field(name))}
    names |= {name for name in _IMPLIED if below.has_field(name) or above.has_field(name)}
    if "parts" in fields and below.has_field("parts"):
        names.add("parts")
    parts = []
    for boxes in (below.convert("xyxy"), above.convert("xyxy")):
        given = boxes.copy_with_fields(sorted(names), skip_missing=True)
        for name in names - set(boxes.fields()):
            if name == "parts":
                part_set = below.get_field("parts").part_set
                given.add_field(name, PartMask.unannotated(len(boxes), boxes.size, part_set))
            else:
                given.add_field(name, torch.full((len(boxes),), _IMPLIED[name]))
        parts.append(in_windows(given))
    joined = cat_boxlist(parts)
    joined.add_field("masks", SegmentationMask.of_windows(joined.get_field("masks").instances.windows().packed()))
    return joined


def join_persons(below: BoxList, above: BoxList) -> BoxList:
    """Persons of one image and others that were pasted on it."""
    return cat_boxlist([boxes.convert("xyxy").copy_with_fields(("labels", "keypoints")) for boxes in (below, above)])


def semantic_map_of(objects: BoxList, classes: torch.Tensor) -> SemanticMap:
    """The map of objects with masks alone, each in the class uint8 [K + 1] of its label, the rest ignored.

    Where masks overlap, the smaller object's counts.
    """
    windows = objects.get_field("masks").instances.windows()
    order = windows.counts().argsort(descending=True, stable=True)
    values = classes[objects.get_field("labels")[order]].tolist()
    return SemanticMap(windows.pick(order).paint(values, IGNORE_INDEX))


def paste_image_labels(
    below: torch.Tensor, rules: PasteRules, semantic: tuple[SemanticMap, SemanticMap] | None, present: torch.Tensor
) -> torch.Tensor:
    """Image labels, float [C], after objects were pasted.

    Those of the objects come to them. One goes if the semantic map had pixels of its class and now has none and no
    object is of it; without a map nobody knows what else of the class there is.

    Args:
        below: before.
        rules: the names.
        semantic: the map before and after, where it is annotated.
        present: labels of all objects that are there now.
    """
    labels = below.clone()
    if semantic is not None:
        before, after = (torch.bincount(each.labels.flatten().long(), minlength=256) for each in semantic)
        named = rules.semantic_of_image_labels >= 0
        place = rules.semantic_of_image_labels.clamp(min=0)
        labels[named & (before[place] > 0) & (after[place] == 0)] = 0
    places = rules.image_labels[present]
    labels[places[places >= 0]] = 1
    return labels
