"""What a data set holds, counted: of each image a few small arrays, and of all images together their distributions."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from pycocotools import mask as coco_mask

from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX
from maskrcnn_benchmark.tasks.task import TASKS, annotated_tasks

USUAL_PHASES = ("train", "val", "test")
VISIBILITY_CODES = 3  # 0 not annotated; what 1 and 2 mean is the joint set's own


@dataclass(frozen=True)
class ImageCounts:
    """What one image holds. A member is None where nobody annotated its task.

    Attributes:
        size: (width, height) in pixels.
        tasks: keys of `TASKS` that are annotated.
        classes: indices into `class_names` that occur, in whatever task.
        labels: int64 [N], label 1..K of each object; crowds: bool [N].
        boxes: float32 [N, 4], xywh of each object in pixels.
        mask_pixels: int64 [N], the area of each object's mask; mask_bytes: int64 [N], the length of its compressed
            run-length code.
        part_objects: int64 [P], objects on which each part label is seen; part_pixels: int64 [P], its pixels.
        part_owners: int64 [K], annotated objects of each thing.
        people: number of joint records; joints: int64 [J, 3], of each joint how often each visibility code.
        semantic_pixels: int64 [C + 1], of each class and, last, without a label.
        image_labels: bool [L].
        boundary_pixels, occlusion_pixels: int.
    """

    size: tuple
    tasks: frozenset
    classes: tuple
    labels: np.ndarray | None = None
    crowds: np.ndarray | None = None
    boxes: np.ndarray | None = None
    mask_pixels: np.ndarray | None = None
    mask_bytes: np.ndarray | None = None
    part_objects: np.ndarray | None = None
    part_pixels: np.ndarray | None = None
    part_owners: np.ndarray | None = None
    people: int | None = None
    joints: np.ndarray | None = None
    semantic_pixels: np.ndarray | None = None
    image_labels: np.ndarray | None = None
    boundary_pixels: int | None = None
    occlusion_pixels: int | None = None


def class_names(vocabulary):
    """Every class name of a `Vocabulary` once: those of objects, of the semantic map and of image labels."""
    names = (*vocabulary.thing_names, *vocabulary.semantic_names, *vocabulary.image_label_names)
    return tuple(dict.fromkeys(names))


def count_image(annotations, vocabulary):
    """The `ImageCounts` of an `ImageAnnotations` whose labels a `Vocabulary` names."""
    members = {}
    if annotations.instances is not None:
        members.update(_count_instances(annotations.instances, len(vocabulary.thing_names), vocabulary.parts))
    if annotations.people is not None:
        members["people"] = len(annotations.people)
        members["joints"] = _count_joints(annotations.people, len(vocabulary.joints or ()))
    if annotations.semantic is not None:
        pixels = np.bincount(annotations.semantic.labels.numpy().ravel(), minlength=IGNORE_INDEX + 1)
        members["semantic_pixels"] = np.append(pixels[: len(vocabulary.semantic_names)], pixels[IGNORE_INDEX])
    if annotations.classes is not None:
        members["image_labels"] = annotations.classes.numpy() > 0
    if annotations.boundary is not None:
        members["boundary_pixels"] = int(np.count_nonzero(annotations.boundary.edges.numpy()))
    if annotations.occlusion is not None:
        members["occlusion_pixels"] = int(np.count_nonzero(annotations.occlusion.edges.numpy()))
    tasks = frozenset(annotated_tasks(annotations))
    return ImageCounts(tuple(annotations.size), tasks, _classes_of(members, vocabulary), **members)


def _classes_of(members, vocabulary):
    place = {name: i for i, name in enumerate(class_names(vocabulary))}
    found = {vocabulary.thing_names[k - 1] for k in np.unique(members.get("labels", ())).astype(int)}
    found.update(vocabulary.semantic_names[k] for k in np.flatnonzero(members.get("semantic_pixels", (0,))[:-1]))
    found.update(vocabulary.image_label_names[k] for k in np.flatnonzero(members.get("image_labels", ())))
    return tuple(sorted(place[name] for name in found))


def _count_instances(instances, things, part_set):
    labels = instances.get_field("labels").numpy()
    crowd = instances.get_field("iscrowd").numpy() if instances.has_field("iscrowd") else np.zeros(len(labels), bool)
    members = {"labels": labels, "crowds": crowd, "boxes": instances.convert("xywh").bbox.numpy()}
    if instances.has_field("masks"):
        masks = instances.get_field("masks").get_mask_tensor().numpy()
        masks = masks.reshape(len(labels), *masks.shape[-2:])
        codes = coco_mask.encode(np.asfortranarray(masks.transpose(1, 2, 0)))
        members["mask_pixels"] = coco_mask.area(codes).astype(np.int64) if codes else np.zeros(0, np.int64)
        members["mask_bytes"] = np.array([len(code["counts"]) for code in codes], np.int64)
    if instances.has_field("parts") and part_set is not None:
        members.update(_count_parts(instances.get_field("parts"), labels, things, len(part_set)))
    return members


def _count_parts(parts, labels, things, count):
    annotated = parts.annotated.numpy()
    maps = parts.labels.numpy().reshape(len(labels), -1)
    place = np.flatnonzero(maps)
    cells = (place // max(maps.shape[1], 1)) * (count + 1) + maps.reshape(-1)[place]
    table = np.bincount(cells, minlength=len(labels) * (count + 1)).reshape(len(labels), count + 1)
    table = table[annotated, 1:]
    return {
        "part_objects": (table > 0).sum(0),
        "part_pixels": table.sum(0),
        "part_owners": np.bincount(labels[annotated] - 1, minlength=things),
    }


def _count_joints(people, count):
    if not len(people):
        return np.zeros((count, VISIBILITY_CODES), np.int64)
    codes = people.get_field("keypoints").keypoints[..., 2].numpy().astype(np.int64).clip(0, VISIBILITY_CODES - 1)
    return np.stack([(codes == code).sum(0) for code in range(VISIBILITY_CODES)], axis=1)


class DatasetCounts:
    """The counts of M images together. Arrays per image hold the images that are annotated for it alone.

    Args:
        images: list of M `ImageCounts`.
        vocabulary: the `Vocabulary` of the data set.
        phases: list of M, the phase or split of each image, or None.
    """

    def __init__(self, images, vocabulary, phases=None):
        self.images = list(images)
        self.vocabulary = vocabulary
        self.class_names = class_names(vocabulary)
        self.phases = phases or [None] * len(self.images)

    def __len__(self):
        return len(self.images)

    @cached_property
    def sizes(self):
        """int64 [M, 2], width and height."""
        return np.array([image.size for image in self.images], np.int64).reshape(-1, 2)

    @cached_property
    def task_table(self):
        """bool [M, 8], which image is annotated for which of `TASKS`."""
        rows = [[key in image.tasks for key in TASKS] for image in self.images]
        return np.array(rows, bool).reshape(-1, len(TASKS))

    @cached_property
    def class_table(self):
        """bool [M, U], which image holds which of `class_names`."""
        table = np.zeros((len(self), len(self.class_names)), bool)
        for row, image in zip(table, self.images):
            row[list(image.classes)] = True
        return table

    def images_by_phase(self):
        """{phase: (images, int64 [8] images of each task)}, train, val and test first; without phases empty."""
        phases = np.array([str(phase) for phase in self.phases])
        present = {str(phase) for phase in self.phases if phase is not None}
        order = [phase for phase in USUAL_PHASES if phase in present] + sorted(present.difference(USUAL_PHASES))
        return {phase: (int((phases == phase).sum()), self.task_table[phases == phase].sum(0)) for phase in order}

    @cached_property
    def labels(self):
        """int64 [N], labels of all objects that are no crowd."""
        return self._objects("labels", np.int64)

    @cached_property
    def boxes(self):
        """float32 [N, 4], xywh of all objects that are no crowd."""
        return self._objects("boxes", np.float32).reshape(-1, 4)

    @cached_property
    def box_centres(self):
        """float64 [N, 2], centres of their boxes as shares of the image's width and height."""
        sizes = [np.repeat([i.size], (~i.crowds).sum(), axis=0) for i in self.images if i.labels is not None]
        sizes = np.concatenate(sizes) if sizes else np.zeros((0, 2))
        return (self.boxes[:, :2] + self.boxes[:, 2:] / 2) / np.maximum(sizes, 1)

    @property
    def object_sizes(self):
        """float64 [N], the square root of each box's area, pixels."""
        return np.sqrt(self.boxes[:, 2].astype(np.float64) * self.boxes[:, 3])

    @property
    def aspect_ratios(self):
        """float64 of the boxes with an extent, width through height."""
        width, height = self.boxes[:, 2:].astype(np.float64).T
        known = (width > 0) & (height > 0)
        return width[known] / height[known]

    @property
    def mask_bytes(self):
        """int64, bytes of the run-length code of the mask of each object that is no crowd."""
        found = [image.mask_bytes[~image.crowds] for image in self.images if image.mask_bytes is not None]
        return np.concatenate(found) if found else np.zeros(0, np.int64)

    @property
    def mask_fill(self):
        """float64, the share of its box that each object's mask fills."""
        with_masks = [image for image in self.images if image.mask_pixels is not None]
        pixels = [image.mask_pixels[~image.crowds] for image in with_masks]
        areas = [image.boxes[~image.crowds, 2:].prod(1) for image in with_masks]
        pixels, areas = (np.concatenate(parts) if parts else np.zeros(0) for parts in (pixels, areas))
        return np.minimum(pixels[areas > 0] / areas[areas > 0].astype(np.float64), 1.0)

    @property
    def objects_per_image(self):
        """int64, objects that are no crowd."""
        return np.array([(~image.crowds).sum() for image in self.images if image.labels is not None], np.int64)

    @property
    def crowds(self):
        """Number of records that stand for a crowd."""
        return int(sum(image.crowds.sum() for image in self.images if image.labels is not None))

    @property
    def people(self):
        """Number of joint records."""
        return sum(image.people or 0 for image in self.images)

    @cached_property
    def joints(self):
        """int64 [J, 3], of each joint how often each visibility code."""
        return self._sum("joints", (len(self.vocabulary.joints or ()), VISIBILITY_CODES))

    @property
    def labels_per_image(self):
        """int64, image labels that hold."""
        return np.array([i.image_labels.sum() for i in self.images if i.image_labels is not None], np.int64)

    @property
    def labelled_share(self):
        """float64, share of each image's pixels that its semantic map labels."""
        maps = [image.semantic_pixels for image in self.images if image.semantic_pixels is not None]
        return np.array([pixels[:-1].sum() / pixels.sum() for pixels in maps])

    @property
    def boundary_pixels(self):
        """int64, edge pixels of each image with boundaries."""
        return self._numbers("boundary_pixels")

    @property
    def occlusion_pixels(self):
        """int64, edge pixels of each image with occlusion edges."""
        return self._numbers("occlusion_pixels")

    @cached_property
    def part_objects(self):
        """int64 [P], objects on which each part label is seen."""
        return self._sum("part_objects", len(self.vocabulary.parts or ()))

    @cached_property
    def part_pixels(self):
        """int64 [P]."""
        return self._sum("part_pixels", len(self.vocabulary.parts or ()))

    @cached_property
    def part_owners(self):
        """int64 [K], objects of each thing whose parts are annotated."""
        return self._sum("part_owners", len(self.vocabulary.thing_names))

    @cached_property
    def semantic_pixels(self):
        """int64 [C + 1], of each class and, last, without a label."""
        return self._sum("semantic_pixels", len(self.vocabulary.semantic_names) + 1)

    def per_class(self):
        """Columns over the U `class_names`, a dict of arrays.

        "objects", "crowds" int64; "images" int64, in which it occurs in any task; "pixels" float64, its share of all
        pixels that semantic maps label; "size" float64, the mean square root of the boxes' areas. A class that cannot
        have a figure, such as objects of a class without instances, has nan in "pixels" and "size", -1 in the others.
        """
        place = {name: i for i, name in enumerate(self.class_names)}
        things = [place[name] for name in self.vocabulary.thing_names]
        stuff = [place[name] for name in self.vocabulary.semantic_names]
        count = len(things)
        objects, crowds = (np.full(len(place), -1, np.int64) for _ in range(2))
        size, pixels = (np.full(len(place), np.nan) for _ in range(2))
        number = np.bincount(self.labels - 1, minlength=count)
        objects[things] = number
        crowds[things] = self._crowds_by_thing()
        with np.errstate(invalid="ignore"):
            size[things] = np.bincount(self.labels - 1, self.object_sizes, minlength=count) / number
            pixels[stuff] = self.semantic_pixels[:-1] / self.semantic_pixels[:-1].sum()
        return {
            "objects": objects,
            "crowds": crowds,
            "images": self.class_table.sum(0),
            "pixels": pixels,
            "size": size,
        }

    def task_pairs(self):
        """int64 [8, 8], images that carry both of two tasks; on the diagonal, one."""
        return _pairs(self.task_table)

    def class_pairs(self):
        """int64 [U, U], images that hold both of two classes."""
        return _pairs(self.class_table)

    def _crowds_by_thing(self):
        count = len(self.vocabulary.thing_names)
        found = [image.labels[image.crowds] for image in self.images if image.labels is not None]
        return np.bincount(np.concatenate(found) - 1, minlength=count) if found else np.zeros(count, np.int64)

    def _objects(self, member, dtype):
        """A member over all objects that are no crowd."""
        found = [getattr(image, member)[~image.crowds] for image in self.images if image.labels is not None]
        return np.concatenate(found) if found else np.zeros(0, dtype)

    def _numbers(self, member):
        values = (getattr(image, member) for image in self.images)
        return np.array([value for value in values if value is not None], np.int64)

    def _sum(self, member, shape):
        total = np.zeros(shape, np.int64)
        for image in self.images:
            if getattr(image, member) is not None:
                total += getattr(image, member)
        return total


def _pairs(table):
    # float32 goes through BLAS, and its whole numbers are exact up to 2 ** 24 images
    numbers = table.astype(np.float32)
    return np.rint(numbers.T @ numbers).astype(np.int64)


@dataclass(frozen=True)
class Histogram:
    """How often values fall into each of B bins.

    Attributes:
        edges: float64 [B + 1], ascending; a bin includes its lower edge. counts: int64 [B].
        log: whether the edges are equally far apart in their logarithms.
        open_end: whether the last bin also holds all values above its upper edge.
        whole: whether the values are whole numbers, so that a bin holds edge .. next edge - 1.
    """

    edges: np.ndarray
    counts: np.ndarray
    log: bool = False
    open_end: bool = False
    whole: bool = False


def histogram_of_numbers(values, bins=30):
    """The `Histogram` of whole numbers from 0; the highest half percent share the last bin where they lie far off."""
    values = np.asarray(values, np.int64)
    if not len(values):
        return Histogram(np.arange(2.0), np.zeros(1, np.int64), whole=True)
    most, usual = int(values.max()), int(np.quantile(values, 0.995))
    end = usual if most > 1.5 * usual and most > usual + bins // 4 else most
    low = 0 if values.min() < 0.5 * end else int(values.min())
    step = nice_step(low, end + 1, bins, whole=True)
    low = low // step * step
    edges = np.arange(low, end + 1 + step, step)
    edges = edges[: np.searchsorted(edges, end, side="right") + 1]
    counts = np.bincount(np.minimum((values - low) // step, len(edges) - 2), minlength=len(edges) - 1)
    return Histogram(edges.astype(np.float64), counts, open_end=bool(most >= edges[-1]), whole=True)


def histogram_of_shares(values, bins=25):
    """The `Histogram` of shares 0..1, of equal bins; 1 is in the last."""
    counts, edges = np.histogram(np.asarray(values, np.float64), bins, (0.0, 1.0))
    return Histogram(edges, counts)


def histogram_of_ratios(values, per_octave=4):
    """The `Histogram` of positive values in equal steps of their logarithm, `per_octave` bins between x and 2 x.

    Values that are not positive are left out. The lowest and the highest value's bins are its first and last.
    """
    values = np.asarray(values, np.float64)
    steps = np.floor(np.log2(values[values > 0]) * per_octave + 1e-9).astype(np.int64)
    if not len(steps):
        return Histogram(np.array([1.0, 2.0]), np.zeros(1, np.int64), log=True)
    low, high = steps.min(), steps.max()
    counts = np.bincount(steps - low, minlength=high - low + 1)
    return Histogram(2.0 ** (np.arange(low, high + 2) / per_octave), counts, log=True)


def nice_step(low, high, most, whole=False):
    """The least of 1, 2, 5, 10, 20, ... that cuts low .. high into at most `most`; of 0.5, 0.2, ... unless `whole`."""
    step = max((high - low) / most, 1e-12)
    power = 10.0 ** np.floor(np.log10(step))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= step * (1 - 1e-9))
    return max(1, round(step)) if whole else step
