"""Copy-paste: items of a training data set that get objects of another of its images, with all their labels."""

import random
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import cv2
import torch

from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.data.same_names import SAME_CLASS, match_names
from maskrcnn_benchmark.data.samplers.seeding import WrappedDataset
from maskrcnn_benchmark.structures.bounding_box import TO_REMOVE
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.pasting import PasteRules, fit_to_paste, in_windows
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

if TYPE_CHECKING:
    from maskrcnn_benchmark.tasks.task import Task

# Images that are drawn until one has the labels that are needed; an image for which none is found stays as it is
TRIES = 20


class CopyPasteDataset(WrappedDataset):
    """Items of a data set, onto some of which objects of another of its images are pasted.

    Simple Copy-Paste (Ghiasi et al., CVPR 2021): both images have been through transforms of their own, and a random
    number of the other's objects are pasted where they lie there, as far as the image reaches, without blending.
    `ImageAnnotations.paste` says what becomes of the labels.

    Not annotated is not empty: the other image must be annotated for what the image is annotated for
    (`PasteRules.needed`), have masks, and come from a data set that knows all classes of objects that the image's
    does. An image without masks but with objects stays as it is, since nobody knows what of these would be covered.

    All chance comes from Python's `random`, after that of the image's own transforms.

    Args:
        dataset: its items are (uint8 [3, H, W], `ImageAnnotations`, index), transformed.
        probability: that objects are pasted on an item.
        tasks: all that may be annotated.
        ratios: shares of the data sets that `dataset` joins, from which the other image is drawn; (): their sizes.
    """

    def __init__(
        self, dataset: AnnotatedDataset, probability: float, tasks: "Iterable[Task]", ratios: Sequence[float] = ()
    ) -> None:
        super().__init__(dataset)
        self.probability = probability
        self.rules = paste_rules(dataset.vocabulary, tasks)
        self._sizes = [len(each) for each in getattr(dataset, "datasets", ())] if ratios else [len(dataset)]
        self._ratios = list(ratios) or [1.0]

    def __getitem__(self, index: int) -> tuple[Any, ImageAnnotations, int]:
        image, annotations, index = self.dataset[index]
        if random.random() < self.probability:
            image, annotations = self._with_objects(image, annotations, index)
        return image, annotations, index

    def _with_objects(self, image, annotations, index):
        annotations = ImageAnnotations.of(annotations)
        if annotations.instances is not None and not annotations.instances.has_field("masks"):
            return image, annotations
        needed = self.rules.needed(annotations.labels)
        for _ in range(TRIES):
            source = self._drawn()
            # what a file says of an image spares opening it
            if source != index and self.dataset.labels_of(source) >= {*needed, "instance"}:
                other_image, other, _ = self.dataset[source]
                other = ImageAnnotations.of(other)
                if _is_source(other, annotations, needed):
                    return paste_some(image, annotations, other_image, other, self.rules)
        return image, annotations

    def _drawn(self):
        which = random.choices(range(len(self._sizes)), self._ratios)[0] if len(self._sizes) > 1 else 0
        return sum(self._sizes[:which]) + random.randrange(self._sizes[which])


def paste_some(
    image: torch.Tensor,
    annotations: ImageAnnotations,
    source: torch.Tensor,
    labels: ImageAnnotations,
    rules: PasteRules,
) -> tuple[torch.Tensor, ImageAnnotations]:
    """An image uint8 [3, H, W] with a random number of the objects of another, each as likely, and its annotations."""
    size = annotations.size
    common = min(size[0], labels.size[0]), min(size[1], labels.size[1])
    if labels.size != common:
        labels = labels.crop((0, 0, *common))
        labels = labels.with_instances(_ending_with_masks(labels.instances))
    if size != common:
        labels = labels.pad(size)
    labels, below = (
        each if each.instances is None else each.with_instances(in_windows(each.instances))
        for each in (labels, annotations)
    )
    fit = fit_to_paste(labels.instances, below.instances).nonzero().squeeze(1).tolist()
    if not fit:
        return image, annotations
    chosen = sorted(random.sample(fit, random.randint(1, len(fit))))
    pasted = labels.only(torch.tensor(chosen), rules)
    if not len(pasted.instances):
        return image, annotations
    mask = pasted.instances.get_field("masks").union()
    # as [H, W, 3], as which the pixels lie in memory; OpenCV takes a fifth of the time that PyTorch does
    result = image.permute(1, 2, 0).clone(memory_format=torch.contiguous_format)
    window = slice(common[1]), slice(common[0])
    above, within = source.permute(1, 2, 0)[window].contiguous(), mask[window].to(torch.uint8)
    cv2.copyTo(above.numpy(), within.numpy(), result[window].numpy())
    return result.permute(2, 0, 1), below.paste(pasted, mask, rules)


def paste_rules(vocabulary: Vocabulary, tasks: "Iterable[Task]") -> PasteRules:
    """The `PasteRules` of tasks and of a vocabulary, of which objects, classes and image labels of one name are one."""
    fit = [task for task in tasks if task.can_be_pasted]
    things, labels = vocabulary.thing_names, vocabulary.image_label_names
    return PasteRules(
        torch.tensor([IGNORE_INDEX, *_places(things, vocabulary.semantic_names, IGNORE_INDEX)], dtype=torch.uint8),
        torch.tensor([-1, *_places(things, labels, -1)], dtype=torch.int64),
        torch.tensor(_places(labels, vocabulary.semantic_names, -1), dtype=torch.int64),
        vocabulary.keypoint_labels,
        frozenset(task.key for task in fit if task.label_field is None),
        frozenset(task.key for task in fit if task.is_pasted_by_class),
        frozenset(task.label_field for task in fit if task.label_field is not None),
    )


def _places(names, among, missing):
    return [missing if place is None else place for place in match_names(names, among, SAME_CLASS)]


def _ending_with_masks(objects):
    """Objects after a crop: those cut off to the right or below get the boxes of what is left of their masks."""
    boxes, bounds = objects.convert("xyxy"), objects.get_field("masks").bounds()
    cut = (boxes.bbox[:, 2:] >= boxes.bbox.new_tensor(objects.size) - TO_REMOVE).any(dim=1) & (bounds[:, 2] >= 0)
    tight = boxes[:]
    tight.bbox = torch.where(cut[:, None], bounds, boxes.bbox)
    return tight


def _is_source(other, annotations, needed):
    objects = other.instances
    if objects is None or not objects.has_field("masks") or not needed <= set(other.labels):
        return False
    if other.known_labels is None:
        return True
    every = torch.ones_like(other.known_labels)
    known = every if annotations.known_labels is None else annotations.known_labels
    return bool((other.known_labels | ~known).all())
