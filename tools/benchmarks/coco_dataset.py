"""COCO at its full size: the first opening, which makes the index, and every later one, beside parsing the JSON."""

import gc
import json
import tempfile
import time
from contextlib import nullcontext
from pathlib import Path

from tqdm import tqdm

from benchmarks.coco_size import ANNOTATIONS, IMAGES, write_coco_size
from benchmarks.memory import Growth, in_fresh_process
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.config.paths_catalog import DatasetCatalog
from maskrcnn_benchmark.data import make_data_loader
from maskrcnn_benchmark.data.coco.file import CocoFile
from maskrcnn_benchmark.data.datasets import COCODataset
from maskrcnn_benchmark.data.preparation.index_file import index_path_of
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.files import mkdir

NAME = "instances_train.json"


def measure(args):
    """Measure each step in a fresh process. Returns the dictionary."""
    if args.annotations and not Path(args.annotations).is_file():
        raise UserError(f"{args.annotations} is not there")
    if args.folder:
        mkdir(args.folder)
    with nullcontext(args.folder) if args.folder else tempfile.TemporaryDirectory() as root:
        path = Path(root).absolute() / NAME
        path.unlink(missing_ok=True)
        if args.annotations:
            path.symlink_to(Path(args.annotations).absolute())
        else:
            write_coco_size(path, args.full_size, round(args.full_size * ANNOTATIONS / IMAGES))
        index_path_of(path).unlink(missing_ok=True)
        result = _measure_steps(path)
    print(format_measurements(result))
    return result


def _measure_steps(path):
    steps = {"first_open": open_set, "open": open_set, "loader": start_loader, "read": read_plainly, "json_load": load}
    result = {}
    for name, step in tqdm(steps.items(), desc="steps", unit="step", disable=None):
        result |= {f"coco_{name}_{key}": value for key, value in in_fresh_process(step, path).items()}
    index = index_path_of(path)
    return {
        **result,
        "coco_json_mb": path.stat().st_size / 1e6,
        "coco_index_mb": index.stat().st_size / 1e6 if index.is_file() else 0.0,
    }


def open_set(path):
    """{"seconds", "mib", "images"} of opening for training, without images that have no annotation."""
    return _measured(lambda: len(COCODataset(path, None, remove_images_without_annotations=True)))


def start_loader(path):
    """{"seconds", "mib", "images"} from `make_data_loader` to the indices of the first batch."""
    DatasetCatalog.DATASETS["coco_size"] = {"img_dir": str(path.parent), "ann_file": str(path)}
    cfg = default_cfg.clone()
    cfg.DATASETS.TRAIN, cfg.SOLVER.SEED, cfg.DATALOADER.NUM_WORKERS = ("coco_size",), 0, 0

    def start():
        loader = make_data_loader(cfg)
        next(iter(loader.batch_sampler))
        return len(loader.dataset)

    return _measured(start)


def read_plainly(path):
    """{"seconds", "mib", "images"} of reading the file without an index, as a small one is."""
    return _measured(lambda: len(CocoFile(path).images))


def load(path):
    """{"seconds", "mib", "images"} of `json.load`."""
    return _measured(lambda: len(json.loads(path.read_bytes())["images"]))


def _measured(action):
    gc.collect()
    with Growth() as growth:
        start = time.perf_counter()
        images = action()
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "mib": growth.mib, "images": images}


def format_measurements(result):
    """The table of everything that was measured."""
    rows = {
        "first_open": "first opening, index made",
        "open": "every later opening",
        "loader": "make_data_loader to first indices",
        "read": "reading without an index",
        "json_load": "json.load",
    }
    sizes = f"{result['coco_json_mb']:.0f} MB of JSON, {result['coco_index_mb']:.0f} MB of index"
    lines = [
        f"{what:36}{result[f'coco_{name}_seconds']:9.3f} s{result[f'coco_{name}_mib']:9.1f} MiB"
        for name, what in rows.items()
    ]
    return "\n".join([*lines, sizes])
