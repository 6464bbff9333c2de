"""What the subject `dataset` measures, each function meant for a process of its own."""

import gc
import json
import statistics
import time
from itertools import cycle, islice
from pathlib import Path

import cv2
import torch
from torch.utils.data import BatchSampler, DataLoader, RandomSampler

from benchmarks.memory import MIB, Growth, own_mib
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.collate_batch import BatchCollator
from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.data.image_file import read_image
from maskrcnn_benchmark.data.transforms import build_byte_transforms
from maskrcnn_benchmark.data.transforms.transforms import resize_both
from maskrcnn_benchmark.utils.allocator import keep_freed_memory

CONFIG = Path(__file__).parents[2] / "configs" / "detail" / "e2e_multitask_R_50_FPN_1x.yaml"
SET = "full_size"  # folder of the measured set, and so its name in the catalog
INSTANCES = 6  # of the images whose samples are timed
SEARCHED = 1000  # images among which they are looked for
BATCH_IMAGES, BATCH_SIZE = 8, (992, 800)  # of the batch whose size is told, (width, height)
REGIONS = 64  # per image that the mask and part heads are trained on
STAGES = {
    "ColorJitter": "jitter",
    "Resize": "resize",
    "RandomHorizontalFlip": "flip",
    "RandomVerticalFlip": "flip",
    "AsBytes": "tensor",
}
SECTIONS = ("annos_segmentation", "annos_boundary", "annos_occlusion", "annos_joints")


def prepare_set(folder, workers):
    """Seconds that making the index of folder/annotations.json takes, its images looked at."""
    from maskrcnn_benchmark.data.detail.content import DetailContent
    from maskrcnn_benchmark.data.preparation.build_index import prepare

    start = time.perf_counter()
    prepare(
        folder / "annotations.json", images=folder / "images", workers=workers, progress=True, content=DetailContent
    )
    return time.perf_counter() - start


def open_set(folder, **options):
    """The `DetailDataset` of a prepared folder, as training opens it."""
    return DetailDataset(folder / "annotations.json", folder / "images", keep_crowd=False, **options)


def time_opening(folder):
    """{"seconds", "mib"} that opening takes beyond the imports."""
    gc.collect()
    with Growth() as growth:
        start = time.perf_counter()
        dataset = open_set(folder)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "mib": growth.mib, "images": len(dataset)}


def load_plainly(folder):
    """{"seconds", "mib"} of the plain way: the whole JSON as Python objects, and dictionaries of them by image."""
    gc.collect()
    with Growth() as growth:
        start = time.perf_counter()
        with open(folder / "annotations.json", "rb") as file:
            content = json.load(file)
        tables = tables_by_image(content)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "mib": growth.mib, "images": len(tables["images"])}


def tables_by_image(content):
    """The dictionaries that the data set's own toolkit makes: rows by their id, and what belongs together by image."""
    images = {row["image_id"]: row for row in content["images"]}
    categories = {row["category_id"]: row for row in content["categories"]}
    parts = {row["part_id"]: row for row in content.get("parts", ())}
    for row in images.values():
        row.update(annotations=[], categories=[], parts=[], keypoints=[])
    for row in categories.values():
        row.update(images=[], annotations=[])
    for row in parts.values():
        row.update(categories=[], images=[], annotations=[])
    for row in content.get("annos_segmentation", ()):
        image, category = images[row["image_id"]], categories[row["category_id"]]
        image["annotations"].append(row["id"])
        image["categories"].append(row["category_id"])
        category["annotations"].append(row["id"])
        category["images"].append(row["image_id"])
        for part in row.get("parts", ()):
            image["parts"].append(part["part_id"])
            parts[part["part_id"]]["images"].append(row["image_id"])
            parts[part["part_id"]]["annotations"].append(row["id"])
    for row in content.get("annos_joints", ()):
        images[row["image_id"]]["keypoints"].append(row["person_id"])
    return {
        "images": images,
        "categories": categories,
        "parts": parts,
        "segmentations": {row["id"]: row for row in content.get("annos_segmentation", ())},
        "boundaries": {row["image_id"]: row for row in content.get("annos_boundary", ())},
        "occlusions": {row["image_id"]: row for row in content.get("annos_occlusion", ())},
        "joints": {row["person_id"]: row for row in content.get("annos_joints", ())},
    }


def measure_worker(folder, count):
    """MiB of its own that a loader's worker holds more after it has read `count` images and their annotations."""
    dataset = open_set(folder)
    # one at a time: what a batch holds is not what reading leaves behind
    sampler = BatchSampler(RandomSampler(dataset, replacement=True, num_samples=count), 1, drop_last=False)
    own = _OwnMemory()
    gc.collect()
    gc.freeze()  # as our loaders do before they fork
    loader = DataLoader(dataset, batch_sampler=sampler, num_workers=1, collate_fn=own, worker_init_fn=own.begin)
    return list(loader)[-1]


class _OwnMemory:
    """In the place of a collator: each batch becomes the memory that the worker has taken since it began."""

    def begin(self, worker):
        keep_freed_memory()
        self.before = own_mib()

    def __call__(self, batch):
        return own_mib() - self.before


def config(options=()):
    """The configuration of all eight tasks on the real data set, at its largest size."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(CONFIG)
    cfg.merge_from_list(["MODEL.DEVICE", "cpu", "INPUT.MIN_SIZE_TRAIN", (800,), *options])
    return cfg


def split_sample(folder, rounds, warmup, count):
    """How long one sample of training takes on one core in a loader's worker, and where the time goes.

    Returns:
        {"split": {stage: median milliseconds}, "total": median milliseconds of all of it, "later": median milliseconds
        of what the heads of a training step on the CPU then make of the annotations, "images", "instances"}.
    """
    torch.set_num_threads(1)
    keep_freed_memory()
    cfg = config(["INPUT.HORIZONTAL_FLIP_PROB_TRAIN", 1.0])
    dataset = open_set(folder)
    chosen = _typical_images(dataset, count)
    transforms, collate = build_byte_transforms(cfg).transforms, BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY)
    timings = []
    for turn in range(-warmup, rounds):
        for index in chosen:
            timing = _time_sample(dataset, index, transforms, collate)
            if turn >= 0:
                timings.append(timing)
    medians = {stage: statistics.median(timing[stage] for timing in timings) for stage in timings[0]}
    total = statistics.median(sum(timing.values()) - timing["later"] for timing in timings)
    instances = statistics.mean(len(dataset.get_annotations(index).instances) for index in chosen)
    later = medians.pop("later")
    return {"split": medians, "total": total, "later": later, "images": len(chosen), "instances": instances}


def batch_sizes(folder):
    """{"image_mib", "target_mib"}: what a batch of training takes on its way to the device.

    The batch is of `BATCH_IMAGES` typical images, all eight tasks, resized to `BATCH_SIZE`.
    """
    cfg = config()
    dataset = open_set(folder)
    colours = build_byte_transforms(cfg).transforms[:2]
    samples = []
    for index in _typical_images(dataset, BATCH_IMAGES):
        image, annotations, _ = dataset[index]
        for transform in colours:
            image, annotations = transform(image, annotations)
        samples.append((*resize_both(image, annotations, BATCH_SIZE), index))
    images, targets, _ = BatchCollator(cfg.DATALOADER.SIZE_DIVISIBILITY)(samples)
    return {"image_mib": images.tensors.nbytes / MIB, "target_mib": targets.buffer.nbytes / MIB}


def _typical_images(dataset, count):
    """Indices of images with about `INSTANCES` objects, some with parts, and joints; of few, several times each."""
    found = []
    for index in range(min(len(dataset), SEARCHED)):
        annotations = dataset.get_annotations(index)
        objects, people = annotations.instances, annotations.people
        if objects is not None and objects.has_field("parts") and people is not None and len(people):
            found.append((abs(len(objects) - INSTANCES), index))
    return list(islice(cycle([index for _, index in sorted(found)] or range(len(dataset))), count))


def _time_sample(dataset, index, transforms, collate):
    """{stage: milliseconds} of one sample."""
    clock = _StageClock()
    info = dataset.get_img_info(index)
    image = read_image(dataset.root / info["file_name"], (info["width"], info["height"]))
    clock.stop("decode")
    for section in SECTIONS:
        dataset.file.records(section, info["image_id"])
    clock.stop("records")
    annotations = dataset.get_annotations(index)
    clock.stop("targets")
    for transform in transforms:
        image, annotations = transform(image, annotations)
        clock.stop(STAGES.get(type(transform).__name__, "other"))
    collate([(image, annotations, index)])
    clock.stop("collate")
    _use_as_heads_do(annotations)
    clock.stop("later")
    # reading the annotations has read the records once more
    clock.milliseconds["targets"] = max(clock.milliseconds["targets"] - clock.milliseconds["records"], 0.0)
    return clock.milliseconds


class _StageClock:
    """Sums what passes between two stops under the name of the later one."""

    def __init__(self):
        self.milliseconds = {}
        self._last = time.perf_counter()

    def stop(self, stage):
        now = time.perf_counter()
        self.milliseconds[stage] = self.milliseconds.get(stage, 0.0) + 1000 * (now - self._last)
        self._last = time.perf_counter()


def _use_as_heads_do(annotations):
    """Look at every map once, and sample masks and parts in as many regions as a training step does."""
    if annotations.semantic is not None:
        annotations.semantic.labels.sum()
    if annotations.boundary is not None:
        annotations.boundary.edges.sum()
    if annotations.occlusion is not None:
        annotations.occlusion.edges.sum()
        annotations.occlusion.direction.sum()
    objects = annotations.instances
    if objects is not None and len(objects):
        regions = objects[torch.arange(REGIONS) % len(objects)]
        for name in ("masks", "parts"):
            if regions.has_field(name):
                regions.get_field(name).crop_and_resize(regions.bbox, 28)


def loader_throughput(folder, workers, images):
    """Images a second that the training loader delivers with so many workers, after it has got into its stride.

    Without workers this process loads with one thread, as a worker does: loaders are compared by their processes, not
    by the threads that resize.
    """
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    batch = 4
    ahead = 2 * workers + 2  # batches that are under way when the first arrives, and two
    options = {
        "DATASETS.DATA_DIR": str(folder.parent),
        "DATASETS.TRAIN": (f"{SET}_trainval",),
        "DATALOADER.NUM_WORKERS": workers,
        "SOLVER.IMS_PER_BATCH": batch,
        "SOLVER.MAX_ITER": ahead + max(images // batch, 1),
        "SOLVER.SEED": 0,
    }
    loader = make_data_loader(config([item for pair in options.items() for item in pair]))
    delivered = 0
    for number, (_, annotations, _) in enumerate(loader):
        if number == ahead - 1:
            start = time.perf_counter()
        elif number >= ahead:
            delivered += len(annotations)
    return delivered / (time.perf_counter() - start)
