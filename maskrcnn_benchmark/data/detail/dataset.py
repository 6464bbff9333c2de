"""PASCAL in Detail: one image with the annotations of up to eight tasks, from the data set's own JSON layout."""

import logging
from collections import Counter
from pathlib import Path

import numpy as np
import torch

from maskrcnn_benchmark.data.detail.class_sets import choose_classes
from maskrcnn_benchmark.data.detail.file import open_detail_file
from maskrcnn_benchmark.data.detail.index import COUNTS, is_silhouette
from maskrcnn_benchmark.data.detail.occlusion_chains import chains_to_edges
from maskrcnn_benchmark.data.image_file import read_image
from maskrcnn_benchmark.data.label_sources import further_labels, open_label_sources
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import IGNORE_INDEX, BoundaryMap, OcclusionMap, SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.keypoint import DETAIL_JOINTS, DetailKeypoints
from maskrcnn_benchmark.structures.mask_windows import MaskWindows, ObjectWindows
from maskrcnn_benchmark.structures.part_mask import PartMask, PartSet
from maskrcnn_benchmark.structures.run_length import RunLengths, row_major
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import OWN_TASKS, TASKS
from maskrcnn_benchmark.utils.errors import UserError

SPLITS = {"train": ("train",), "val": ("val",), "trainval": ("train", "val")}
MASK_TASKS = {"instance", "part"}  # an object whose parts nobody drew is told from the background by its mask
INSTANCE_TASKS = {"detection", "instance", "keypoint", "part"}  # they need the boxes of objects


class DetailDataset(torch.utils.data.Dataset):
    """Images of PASCAL in Detail, or of any file in its layout.

    Which tasks an image carries: detection, instance masks, semantic map and image labels if it has any segmentation
    record; parts if one of its instances has any; joints if it has a joint record or no person; boundary and
    occlusion if they have a record for it; an added task if its source (`label_sources`) has a label for it. What it
    does not carry is None in its `ImageAnnotations`.

    Attributes:
        ids: image ids of this data set in file order.
        vocabulary: `Vocabulary`, names of all classes of the file; the same for each split of a file.
        category_ids: {category name: category id}; contiguous_category_id_to_json_id: {label of a thing: category id}.
        resized_boundaries: number of boundary masks that are not of their image's size and are therefore resized.
    """

    def __init__(
        self,
        ann_file,
        root,
        split="trainval",
        transforms=None,
        parts="person6",
        tasks=None,
        keep_crowd=True,
        classes="all",
    ):
        """Open a data set.

        Args:
            ann_file: the JSON file, see `detail_file.open_detail_file`, or an index of one.
            root: folder of the images, or None if only annotations are wanted.
            split: "train", "val" or "trainval", by the `phase` of each image.
            transforms: called as `transforms(image, annotations)`, or None.
            parts: the set of part labels, one of `part_mask.PART_SETS`.
            tasks: keys of `tasks.TASKS` whose annotations are wanted; the others stay None. None wants all.
            keep_crowd: keep `iscrowd` records of categories with instances; training leaves them out.
            classes: the set of classes, one of `class_sets.CLASS_SETS`.
        """
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, not {split!r}")
        unknown = set(tasks or ()) - set(TASKS)
        if unknown:
            raise ValueError(f"unknown tasks {sorted(unknown)}; there are {', '.join(TASKS)}")
        self.root = None if root is None else Path(root)
        if self.root is not None and not self.root.is_dir():
            raise UserError(f"no such folder of images: {self.root}")
        self.transforms = transforms
        self.tasks = OWN_TASKS if tasks is None else OWN_TASKS & set(tasks)
        self.keep_crowd = keep_crowd
        self.file = open_detail_file(ann_file)
        self.ids = self._ids_of_split(split)
        self.vocabulary = self._read_vocabulary(parts, classes)
        self._semantic_value = {name: i for i, name in enumerate(self.vocabulary.semantic_names)}
        self._thing_label = {name: i + 1 for i, name in enumerate(self.vocabulary.thing_names)}
        self.category_ids = {category["name"]: key for key, category in self.file.categories.items()}
        self.contiguous_category_id_to_json_id = {
            label: self.category_ids[name] for name, label in self._thing_label.items()
        }
        self._part_label = self._read_part_labels()
        self._has_parts = self.file.images.with_pairs(
            [self._part_label.get(pair, 0) > 0 for pair in self.file.category_parts]
        )
        self.resized_boundaries = self._count_resized_boundaries() if "boundary" in self.tasks else 0
        self.label_readers = open_label_sources(self, tasks)
        self.tasks = self.tasks.union(self.label_readers)

    def __len__(self):
        return len(self.ids)

    def __getitem__(self, idx):
        """(image, annotations, idx): a PIL RGB image, or what the transforms make of it, and `ImageAnnotations`."""
        if self.root is None:
            raise UserError(f"{self.file.path} was opened without a folder of images; name one")
        info = self.get_img_info(idx)
        image = read_image(self.root / info["file_name"], (info["width"], info["height"]))
        annotations = self.get_annotations(idx)
        if self.transforms is not None:
            image, annotations = self.transforms(image, annotations)
        return image, annotations, idx

    def get_img_info(self, idx):
        """{"height", "width" in pixels, "file_name", "image_id"} of an image, without opening it."""
        row = self.file.images[self.ids[idx]]
        return {
            "height": int(row["height"]),
            "width": int(row["width"]),
            "file_name": row["file_name"],
            "image_id": self.ids[idx],
        }

    def image_sizes(self):
        """int64 [N, 2]: width and height in pixels of all images."""
        return self.file.images.sizes_of(self.ids)

    def tasks_of(self, idx):
        """Keys of the tasks that this image carries: set of str.

        The package's own are told whether wanted or not and without decoding anything; of added tasks the labels are
        read, of those that are wanted.
        """
        return self._own_tasks_of(idx).union(further_labels(self, idx))

    def _own_tasks_of(self, idx):
        image_id = self.ids[idx]
        counts = self.file.images.counts_of(image_id)
        found = set()
        if counts["regions"]:
            found |= {"detection", "instance", "semantic", "classification"}
        if self._has_parts[self.file.images.row_of(image_id)]:
            found.add("part")
        if self._joints_known(counts):
            found.add("keypoint")
        if counts["boundaries"]:
            found.add("boundary")
        if counts["occlusions"]:
            found.add("occlusion")
        return found

    def leave_out_unannotated(self):
        """Drop the images from which none of the wanted tasks can learn. Returns how many.

        Images without objects stay: they are background to learn from.
        """
        kept = [self.ids[i] for i in range(len(self.ids)) if self._teaches(i)]
        number = len(self.ids) - len(kept)
        self.ids = kept
        return number

    def get_annotations(self, idx):
        """`ImageAnnotations` of an image in its own pixels, without opening the image."""
        info = self.get_img_info(idx)
        image_id, size = info["image_id"], (info["width"], info["height"])
        members = {}
        segmentation = self.file.records("annos_segmentation", image_id)
        if segmentation:
            members = self._read_segmentation(segmentation, size)
        if "keypoint" in self.tasks and self._joints_known(self.file.images.counts_of(image_id)):
            members["people"] = self._read_people(self.file.records("annos_joints", image_id), size)
        boundary = self.file.records("annos_boundary", image_id)
        if "boundary" in self.tasks and boundary:
            members["boundary"] = self._read_boundary(boundary, size)
        occlusion = self.file.records("annos_occlusion", image_id)
        if "occlusion" in self.tasks and occlusion:
            members["occlusion"] = self._read_occlusion(occlusion, size)
        return ImageAnnotations(size, image_id=image_id, **members, labels=further_labels(self, idx))

    def link_of_people(self, idx):
        """The object of each joint record of an image, as `joint_links.link_people` found it.

        It is asked for by itself, since the boxes of `people` and `instances` go separate ways: what leaves some of
        them out would make numbers that were handed on point to the wrong ones.

        Returns:
            int64 [P], for each of the `people` of `get_annotations(idx)` the index in its `instances`, -1 without one.
        """
        links = self.file.links(self.ids[idx])
        records = self.file.records("annos_segmentation", self.ids[idx])
        size = self.get_img_info(idx)
        kept = [
            i
            for i, record in enumerate(records)
            if self._is_instance(record, self._category_name(record))
            and self._box(record, (size["width"], size["height"])) is not None
        ]
        index_of = {position: index for index, position in enumerate(kept)}
        return torch.tensor([index_of.get(position, -1) for position, _ in links], dtype=torch.int64)

    @staticmethod
    def _joints_known(counts):
        """Whether an image has a joint record, or no person who could have one."""
        return counts["joints"] > 0 or counts["people"] == 0

    def _ids_of_split(self, split):
        phases = Counter()
        ids = []
        for image_id, row in self.file.images.items():
            if "phase" not in row:
                raise UserError(f"{self.file.path}: image {image_id} has no 'phase', so no split is known for it")
            phases[row["phase"]] += 1
            if row["phase"] in SPLITS[split]:
                ids.append(image_id)
        if not ids:
            counts = ", ".join(f"{number} of phase {phase!r}" for phase, number in phases.items()) or "none at all"
            raise UserError(f"{self.file.path} has no image of split {split!r}; name another (its images: {counts})")
        return ids

    def _read_vocabulary(self, parts, classes):
        categories = self.file.categories.values()
        semantic_names, thing_names = choose_classes(classes, categories, self.file.path)
        if len(semantic_names) > IGNORE_INDEX:
            raise UserError(
                f"{self.file.path} has {len(semantic_names)} categories; a map holds {IGNORE_INDEX} at most"
            )
        found = self.file.parts_of_things.items()
        parts_of_things = {name: names for name, names in found if name in thing_names and names}
        superparts = {part: self.file.superparts[key] for key, part in self.file.parts.items()}
        return Vocabulary(
            thing_names=thing_names,
            semantic_names=semantic_names,
            image_label_names=semantic_names,
            parts=PartSet.from_names(parts, parts_of_things, superparts),
            joints=DETAIL_JOINTS,
        )

    def _read_part_labels(self):
        """{(category_id, part_id): label in the part set, 0 if it has none}."""
        label_of = self.vocabulary.parts.label_of
        return {
            (category_id, part_id): 0 if is_silhouette(part_id, part) else label_of(category["name"], part)
            for category_id, category in self.file.categories.items()
            for part_id, part in self.file.parts.items()
        }

    def _count_resized_boundaries(self):
        images = self.file.images
        number = int(images.counts[images.rows_of(self.ids), COUNTS.index("resized_boundaries")].sum())
        if number:
            logging.getLogger(__name__).warning(
                "%s: %d boundary masks are not of their image's size and are resized to it", self.file.path, number
            )
        return number

    def _teaches(self, idx):
        tasks = self._own_tasks_of(idx)
        if not self.file.images.counts_of(self.ids[idx])["joints"]:
            tasks.discard("keypoint")  # nobody is there: true, but no joint can be learnt from it
        return bool(tasks & self.tasks or further_labels(self, idx))

    def _category_name(self, record):
        category_id = self.file.field(record, "category_id", "segmentation")
        if category_id not in self.file.categories:
            name = self.file.name_of(record, "segmentation")
            raise UserError(f"{name} has category {category_id!r}, which 'categories' does not list")
        return self.file.categories[category_id]["name"]

    def _read_segmentation(self, records, size):
        """What the segmentation records say: {"semantic", "classes", "instances"} as far as they are wanted."""
        names = [self._category_name(record) for record in records]
        things = [i for i, (record, name) in enumerate(zip(records, names)) if self._is_instance(record, name)]
        members = {}
        needs_masks = self.tasks & {"semantic", *MASK_TASKS}
        runs = self._parse_masks(records, size) if needs_masks else None
        if "semantic" in self.tasks:
            canvas = np.full((1, size[0], size[1]), IGNORE_INDEX, np.uint8)
            # a region of no class is painted too: it may hide one that came before
            values = [self._semantic_value.get(name, IGNORE_INDEX) for name in names]
            runs.paint(canvas, range(len(records)), np.zeros(len(records)), values)
            members["semantic"] = SemanticMap(torch.from_numpy(row_major(canvas)[0]))
        if "classification" in self.tasks:
            classes = torch.zeros(len(self.vocabulary.image_label_names))
            classes[[self._semantic_value[name] for name in set(names) & set(self._semantic_value)]] = 1.0
            members["classes"] = classes
        if self.tasks & INSTANCE_TASKS:
            members["instances"] = self._read_instances(records, names, things, runs, size)
        return members

    def _is_instance(self, record, name):
        return name in self._thing_label and (self.keep_crowd or not record.get("iscrowd", 0))

    def _parse_masks(self, records, size):
        encodings = [self.file.field(record, "segmentation", "segmentation") for record in records]
        return RunLengths(encodings, size, lambda i: self.file.name_of(records[i], "segmentation"))

    def _read_instances(self, records, names, things, runs, size):
        """Objects: BoxList with labels and iscrowd; masks and parts where they are wanted."""
        boxes = [self._box(records[i], size) for i in things]
        extent = [box is not None for box in boxes]
        things = [i for i, ok in zip(things, extent) if ok]
        boxes = torch.tensor([box for box in boxes if box is not None], dtype=torch.float32).reshape(-1, 4)
        instances = BoxList(boxes, size, mode="xywh").convert("xyxy")
        instances.add_field("labels", torch.tensor([self._thing_label[names[i]] for i in things], dtype=torch.int64))
        crowd = [bool(records[i].get("iscrowd", 0)) for i in things]
        instances.add_field("iscrowd", torch.tensor(crowd, dtype=torch.bool))
        if self.tasks & MASK_TASKS:
            number = len(things)
            pixels, windows = runs.windows(things, np.arange(number), np.ones(number), number)
            masks = MaskWindows(torch.from_numpy(pixels), windows, size)
            instances.add_field("masks", SegmentationMask.of_windows(masks))
        if "part" in self.tasks:
            parts = self._read_parts([records[i] for i in things], size)
            if parts is not None:
                instances.add_field("parts", parts)
        return instances.clip_to_image(remove_empty=False)

    def _box(self, record, size):
        """[x, y, w, h] of an object, from its mask where the record has none; None for an object without any pixel."""
        box = record.get("bbox")
        if box is not None and len(box) == 4 and box[2] > 0 and box[3] > 0:
            return box
        x1, y1, x2, y2 = self._parse_masks([record], size).bounding_boxes()[0].tolist()
        return [x1, y1, x2 - x1 + 1, y2 - y1 + 1] if x1 >= 0 else None

    def _labelled_parts(self, record):
        """The parts of a record that have a label in the part set: list of (part record, label)."""
        labelled = []
        for part in record.get("parts") or ():
            part_id = self.file.field({**part, "image_id": record["image_id"]}, "part_id", "part")
            if part_id not in self.file.parts and part_id != 255:
                name = self.file.name_of(record, "segmentation")
                raise UserError(f"{name} has part {part_id!r}, which 'parts' does not list")
            label = self._part_label.get((record["category_id"], part_id), 0)
            if label:
                labelled.append((part, label))
        return labelled

    def _read_parts(self, records, size):
        """Part labels of N objects: `PartMask`, or None if none of them has any."""
        parts = [(i, part, label) for i, record in enumerate(records) for part, label in self._labelled_parts(record)]
        if not parts:
            return None
        runs = RunLengths(
            [part.get("segmentation") for _, part, _ in parts],
            size,
            lambda k: f"{self.file.name_of(records[parts[k][0]], 'segmentation')}, part {parts[k][1]['part_id']}",
        )
        # the large first: an eye stays visible on a head whichever comes first in the file
        order = np.argsort(-runs.areas, kind="stable")
        owners, labels = np.array([i for i, _, _ in parts]), np.array([label for _, _, label in parts])
        pixels, windows = runs.windows(order, owners[order], labels[order], len(records))
        annotated = torch.zeros(len(records), dtype=torch.bool)
        annotated[owners] = True
        maps = ObjectWindows(torch.from_numpy(pixels), windows, size)
        return PartMask.of_windows(maps, annotated, self.vocabulary.parts)

    def _read_people(self, records, size):
        """Joint records: BoxList with labels (all 1) and keypoints."""
        width = 3 * len(DETAIL_JOINTS.names)
        joints = [self.file.field(record, "keypoints", "joint") for record in records]
        for record, numbers in zip(records, joints):
            if len(numbers) != width:
                name = self.file.name_of(record, "joint")
                raise UserError(f"{name} has {len(numbers)} numbers in 'keypoints', not {width}")
        joints = torch.tensor(joints, dtype=torch.float32).reshape(-1, width // 3, 3)
        boxes = torch.tensor([self.file.field(r, "bbox", "joint") for r in records], dtype=torch.float32).reshape(-1, 4)
        people = BoxList(boxes, size, mode="xywh").convert("xyxy")
        people.add_field("labels", torch.ones(len(records), dtype=torch.int64))
        people.add_field("keypoints", DetailKeypoints(joints, size))
        return people.clip_to_image(remove_empty=False)

    def _boundary_size(self, record):
        mask = self.file.field(record, "boundary_mask", "boundary")
        if not isinstance(mask, dict) or len(mask.get("size", ())) != 2:
            raise UserError(f"{self.file.name_of(record, 'boundary')}: its mask has no 'size' [h, w]")
        height, width = mask["size"]
        return int(width), int(height)

    def _read_boundary(self, records, size):
        """Boundary masks of one image at its size, each of an annotator (one, in the published file): `BoundaryMap`."""
        annotators = []
        for record in records:
            mask_size = self._boundary_size(record)
            name = self.file.name_of(record, "boundary")
            runs = RunLengths([record["boundary_mask"]], mask_size, lambda _, name=name: name)
            places, _ = runs.pixels()
            boundary = BoundaryMap.of_edges(torch.from_numpy(places), mask_size)
            annotators.append(boundary if mask_size == size else boundary.resize(size))
        if len(annotators) == 1:
            return annotators[0]
        return BoundaryMap.of_annotators(torch.stack([boundary.edges for boundary in annotators]))

    def _read_occlusion(self, records, size):
        """The occlusion chains of one image: `OcclusionMap` at the image's size."""
        record = records[0]
        chain_size = self.file.occlusion_size(record)
        edges = self.file.field(record, "edges", "occlusion")
        base = self.file.occlusion_base
        try:
            chains = [np.asarray(chain, np.int64) - base for chain in edges["indices"]]
            places, tangents = chains_to_edges(chains, edges["edgelabel"], chain_size)
        except (KeyError, TypeError, ValueError) as error:
            raise UserError(f"{self.file.name_of(record, 'occlusion')} cannot be read: {error}") from None
        occlusion = OcclusionMap.of_edges(torch.from_numpy(places), torch.from_numpy(tangents), chain_size)
        return occlusion if chain_size == size else occlusion.resize(size)
