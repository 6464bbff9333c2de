"""How the annotations of one vocabulary read in another, task by task and all by name."""

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch

from maskrcnn_benchmark.data.same_names import match_objects
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task


class VocabularyMap:
    """Turns annotations that one `Vocabulary` names into those that another does.

    What becomes of a label is its task's own business, see `Task.rename`. Objects of classes that the target lacks are
    dropped; classes that the source lacks are told to the losses by `known_labels`. A task of which the source knows
    nothing that the target has is not annotated.

    Args:
        source: `Vocabulary` of the data set.
        target: `Vocabulary` of the network.
        tasks: the tasks whose labels there may be. Labels of others stay as they are.

    Attributes:
        known_labels: bool [K + 1], labels of the target that the source knows, background included.
    """

    def __init__(self, source: Vocabulary, target: Vocabulary, tasks: Iterable["Task"]) -> None:
        self.known_labels = torch.zeros(len(target.thing_names) + 1, dtype=torch.bool)
        self.known_labels[match_objects(source, target)] = True  # the source's background, 0, is the target's
        keeps_objects = bool(self.known_labels[1:].any())
        # Backwards: fields of objects are renamed by the objects' own labels, and detection, the first, changes these
        self._renames = [
            (task.key, task.label_field, task.rename(source, target) if keeps_objects or not task.label_field else None)
            for task in reversed(list(tasks))
        ]

    def tasks(self) -> set[str]:
        """Keys of the tasks that keep their names, also of those that the source does not annotate."""
        return {key for key, _, rename in self._renames if rename is not None}

    def __call__(self, annotations: ImageAnnotations) -> ImageAnnotations:
        """The annotations of an image in the target's names; those given stay as they are."""
        labels = dict(annotations.labels)
        for key, field, rename in self._renames:
            place = "detection" if field else key
            label = labels.get(place)
            if label is None or (field and not label.has_field(field)):
                continue
            if rename is not None:
                labels[place] = rename(label)
            elif field:
                labels[place] = label.copy_with_fields([name for name in label.fields() if name != field])
            else:
                del labels[place]
        knows_all = "detection" not in labels or bool(self.known_labels.all())
        known_labels = None if knows_all else self.known_labels
        return ImageAnnotations(
            annotations.size, image_id=annotations.image_id, known_labels=known_labels, labels=labels
        )
