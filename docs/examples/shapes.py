"""A data set of one's own, and the catalog that names it: discs and rectangles, with boxes, masks and a semantic map.

python tools/train_net.py --config-file configs/detail/mini_instance_R_18_FPN.yaml \
    PATHS_CATALOG docs/examples/shapes.py DATASETS.TRAIN shapes_train DATASETS.TEST shapes_val MODEL.SEMANTIC_ON True
"""

import numpy as np
import torch
from PIL import Image

from maskrcnn_benchmark.config import paths_catalog
from maskrcnn_benchmark.data.build_dataset import BUILDERS
from maskrcnn_benchmark.data.dataset import AnnotatedDataset
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.dense_map import SemanticMap
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.segmentation_mask import SegmentationMask
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

WIDTH, HEIGHT = 160, 120
SETS = {"shapes_train": {"count": 200, "seed": 0}, "shapes_val": {"count": 40, "seed": 1}}
TASKS = frozenset(("detection", "instance", "semantic"))
NAMES = ("disc", "rectangle")


class ShapesDataset(AnnotatedDataset):
    """Three shapes per image, drawn when they are asked for; the same index gives the same image."""

    has_images = True

    def __init__(self, count, seed, transforms=None, tasks=None):
        self.ids = range(count)
        self.seed = seed
        self.transforms = transforms
        self.tasks = TASKS if tasks is None else TASKS & set(tasks)
        self.vocabulary = Vocabulary(thing_names=NAMES, semantic_names=("background", *NAMES))

    def open_image(self, index):
        """A PIL RGB image."""
        return Image.fromarray(self._draw(index)[0])

    def get_img_info(self, index):
        """What is known of an image without opening it; loaders put upright and wide images into different batches."""
        return {"id": index, "width": WIDTH, "height": HEIGHT, "file_name": f"{index:06d}.png"}

    def get_annotations(self, index):
        """`ImageAnnotations` in the pixels of the image. What is not set is None: not annotated."""
        _, labels, masks = self._draw(index)
        annotations = ImageAnnotations((WIDTH, HEIGHT), image_id=index)
        if self.tasks & {"detection", "instance"}:
            annotations.instances = self._instances(labels, masks)
        if "semantic" in self.tasks:
            classes = np.zeros((HEIGHT, WIDTH), np.uint8)
            for label, mask in zip(labels, masks):
                classes[mask] = label
            annotations.semantic = SemanticMap(torch.from_numpy(classes))
        return annotations

    def _instances(self, labels, masks):
        boxes = []
        for mask in masks:
            rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            boxes.append([columns[0], rows[0], columns[-1], rows[-1]])  # the last pixel is part of the box
        instances = BoxList(torch.tensor(np.array(boxes), dtype=torch.float32), (WIDTH, HEIGHT), mode="xyxy")
        instances.add_field("labels", torch.tensor(labels))
        instances.add_field("iscrowd", torch.zeros(len(labels), dtype=torch.bool))
        if "instance" in self.tasks:
            masks = torch.from_numpy(np.stack(masks)).to(torch.uint8)
            instances.add_field("masks", SegmentationMask(masks, (WIDTH, HEIGHT), mode="mask"))
        return instances

    def _draw(self, index):
        """(uint8 [H, W, 3], list of labels from 1, list of bool [H, W]) of an image; shapes do not overlap."""
        random = np.random.default_rng((self.seed, index))
        pixels = random.integers(90, 130, (HEIGHT, WIDTH, 3)).astype(np.uint8)
        y, x = np.mgrid[:HEIGHT, :WIDTH]
        labels, masks = [], []
        for column in range(3):
            label, size = int(random.integers(1, 3)), int(random.integers(12, 24))
            across, down = np.abs(x - (27 + 53 * column)), np.abs(y - int(random.integers(30, 90)))
            mask = np.hypot(across, down) < size if label == 1 else (across < size) & (down < size / 2)
            pixels[mask] = random.integers(0, 256, 3)
            labels.append(label)
            masks.append(mask)
        return pixels, labels, masks


class DatasetCatalog(paths_catalog.DatasetCatalog):
    """The package's catalog, and two names more."""

    @staticmethod
    def get(name, data_dir=None, images=True):
        if name in SETS:
            return {"factory": "ShapesDataset", "args": SETS[name]}
        return paths_catalog.DatasetCatalog.get(name, data_dir, images)


def build_shapes(cfg, name, args, options, is_train):
    """What a factory is: (config, name, arguments of the catalog, transforms and tasks, is_train) -> data set."""
    return ShapesDataset(**args, **options)


BUILDERS["ShapesDataset"] = build_shapes
