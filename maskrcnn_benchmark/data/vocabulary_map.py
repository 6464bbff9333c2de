"""How the annotations of one vocabulary read in another: labels, maps, parts and joints, all by name."""

from collections import defaultdict

import torch

from maskrcnn_benchmark.data.datasets.coco import SWAPPED_VISIBILITY
from maskrcnn_benchmark.data.same_names import SAME_CLASS, SAME_JOINT, match_names
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, Keypoints
from maskrcnn_benchmark.structures.part_mask import PartMask
from maskrcnn_benchmark.tasks.task import TASKS


class VocabularyMap:
    """Turns annotations that one `Vocabulary` names into those that another does.

    - Objects of classes that the target lacks are dropped. Classes that the source lacks are told to the losses by
      `known_labels`.
    - Joints that the source lacks are not annotated (0, 0, 0). Codes of visibility are the target's own.
    - Pixels of classes that the target lacks are ignored in the semantic map.
    - Image labels say of each class whether it is there, so the source must know every one of the target's.
    - Parts cannot be ignored: those of a class count as annotated where the source tells all of the target's parts of
      it apart and has no other.
    - Boundaries, occlusions and the labels of added tasks have no names and stay.

    A task of which the source knows nothing that the target has is not annotated.

    Args:
        source: `Vocabulary` of the data set.
        target: `Vocabulary` of the network.

    Attributes:
        known_labels: bool [K + 1], labels of the target that the source knows, background included.
        num_joints: joints of the target that the source knows.
    """

    def __init__(self, source, target):
        self.source, self.target = source, target
        things = match_names(source.thing_names, target.thing_names, SAME_CLASS)
        self._label = torch.tensor([0, *(0 if place is None else place + 1 for place in things)])
        self.known_labels = torch.zeros(len(target.thing_names) + 1, dtype=torch.bool)
        self.known_labels[self._label] = True  # the source's background, 0, is the target's
        self._semantic_value = torch.full((IGNORE_INDEX + 1,), IGNORE_INDEX, dtype=torch.uint8)
        for value, place in enumerate(match_names(source.semantic_names, target.semantic_names, SAME_CLASS)):
            self._semantic_value[value] = IGNORE_INDEX if place is None else place
        self._image_labels = match_names(target.image_label_names, source.image_label_names, SAME_CLASS)
        joints = match_names(_joint_names(target), _joint_names(source), SAME_JOINT)
        self._joints = [(place, origin) for place, origin in enumerate(joints) if origin is not None]
        self.num_joints = len(self._joints)
        self._part_label, self._has_parts = _map_parts(source, target)

    def tasks(self):
        """Keys of the tasks that keep their names: a set of str, also of tasks that the source does not annotate."""
        known = {
            "detection": bool(self.known_labels[1:].any()),
            "instance": bool(self.known_labels[1:].any()),
            "keypoint": bool(self._joints),
            "part": bool(self._has_parts.any()),
            "semantic": bool((self._semantic_value != IGNORE_INDEX).any()),
            "classification": bool(self._image_labels) and None not in self._image_labels,
        }
        return {task for task in TASKS if known.get(task, True)}

    def __call__(self, annotations):
        """The `ImageAnnotations` of an image in the target's names; those given stay as they are."""
        known = self.tasks()
        named = ("detection", "keypoint", "semantic", "classification")
        others = {key: label for key, label in annotations.labels.items() if key not in named}
        members = {"labels": others, "image_id": annotations.image_id}
        if annotations.instances is not None and "detection" in known:
            members["instances"] = self._instances(annotations.instances)
            members["known_labels"] = None if self.known_labels.all() else self.known_labels
        if annotations.people is not None and "keypoint" in known:
            members["people"] = self._people(annotations.people)
        if annotations.semantic is not None and "semantic" in known:
            members["semantic"] = SemanticMap(self._semantic_value[annotations.semantic.labels.int()])
        if annotations.classes is not None and "classification" in known:
            members["classes"] = annotations.classes[self._image_labels]
        return ImageAnnotations(annotations.size, **members)

    def _instances(self, instances):
        labels = self._label[instances.get_field("labels")]
        kept = instances[labels > 0]
        if kept.has_field("parts"):
            parts = kept.get_field("parts")
            annotated = parts.annotated & self._has_parts[kept.get_field("labels")]
            if annotated.any():
                parts = PartMask(self._part_label[parts.labels.int()], annotated, parts.size, self.target.parts)
                kept.add_field("parts", parts)
            else:
                kept = kept.copy_with_fields([field for field in kept.fields() if field != "parts"])
        kept.add_field("labels", labels[labels > 0])
        return kept

    def _people(self, people):
        joints = people.get_field("keypoints").keypoints
        places, origins = map(list, zip(*self._joints))
        moved = joints.new_zeros(len(joints), len(self.target.joints), 3)
        moved[:, places] = joints[:, origins]
        if (self.source.joints == DETAIL_JOINTS) != (self.target.joints == DETAIL_JOINTS):
            moved[..., 2] = SWAPPED_VISIBILITY[moved[..., 2].long().clamp(0, 2)]
        people = people.copy_with_fields(people.fields())
        people.add_field("keypoints", Keypoints(moved, people.size, joints=self.target.joints))
        return people


def _joint_names(vocabulary):
    return vocabulary.joints.names if vocabulary.joints else ()


def _map_parts(source, target):
    """The target's label for each of the source's, uint8 [P + 1]; the source's things that keep parts, bool [K + 1]."""
    own, wanted = _labels_by_thing(source.parts), _labels_by_thing(target.parts)
    label_of = torch.zeros(len(source.parts or ()) + 1, dtype=torch.uint8)
    complete = torch.zeros(len(source.thing_names) + 1, dtype=torch.bool)
    places = match_names(source.thing_names, tuple(wanted), SAME_CLASS)
    for label, (thing, place) in enumerate(zip(source.thing_names, places), 1):
        if thing not in own or place is None:
            continue
        theirs = wanted[tuple(wanted)[place]]
        moves = {(mine, theirs.get(part)) for part, mine in own[thing].items()}
        is_function = len({mine for mine, _ in moves}) == len(moves)
        free = all(label_of[mine] in (0, new) for mine, new in moves if new)
        if set(own[thing]) == set(theirs) and is_function and free:
            for mine, new in moves:
                label_of[mine] = new
            complete[label] = True
    return label_of, complete


def _labels_by_thing(parts):
    """{thing: {part: label}} of a `PartSet` or None."""
    labels = defaultdict(dict)
    for label, (things, members) in enumerate(zip(parts.owners, parts.members) if parts else (), 1):
        for thing in things:
            labels[thing].update(dict.fromkeys(members, label))
    return dict(labels)
