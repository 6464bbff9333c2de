"""Write a page about a data set, one HTML file: counts, distributions, drawn samples.

python tools/explore_dataset.py --config-file configs/detail/mini_R_18_FPN.yaml
python tools/explore_dataset.py --annotations annotations.json --images images --output dataset.html
python tools/explore_dataset.py --config-file configs/detail/mini_R_18_FPN.yaml --augmented INPUT.COPY_PASTE 0.5
"""

import os
from functools import partial
from pathlib import Path

from maskrcnn_benchmark.experiments.dataset_arguments import add_dataset_arguments
from maskrcnn_benchmark.utils.arguments import natural, positive, workers
from maskrcnn_benchmark.utils.cli import ToolParser, parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError

PICTURE_BYTES = 10_000_000  # of all pictures together; as text in the page they take a third more
BLANK = 214  # grey in the place of an image that is not at hand


def parse_arguments(arguments=None):
    parser = ToolParser(__doc__)
    data = parser.add_argument_group("annotations, of a config's data set or of a file")
    add_dataset_arguments(data, split="trainval", images_help="without which the annotations are drawn on grey")
    parser.add_argument(
        "--sample", type=natural, default=24, metavar="N", help="images to leaf through (default: %(default)s)"
    )
    parser.add_argument(
        "--augmented", action="store_true", help="draw them as training gets them by the config's INPUT options"
    )
    parser.add_argument(
        "--limit", type=positive, metavar="N", help="images to count, evenly spread over the data set (default: all)"
    )
    parser.add_argument(
        "--workers", type=workers, default=os.cpu_count() or 1, metavar="N", help="(default: %(default)s)"
    )
    parser.add_argument("--output", default="dataset.html", metavar="FILE", help="the page (default: %(default)s)")
    return parser.parse_intermixed_args(arguments)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import numpy as np
from tqdm import tqdm

from maskrcnn_benchmark.data.build import build_datasets, training_items
from maskrcnn_benchmark.data.mixing import taught_tasks
from maskrcnn_benchmark.data.statistics import DatasetCounts, count_image
from maskrcnn_benchmark.experiments.open_dataset import (
    dataset_config,
    dataset_name,
    open_dataset,
)
from maskrcnn_benchmark.tasks.task import TASKS
from maskrcnn_benchmark.utils.env import setup_environment
from maskrcnn_benchmark.utils.files import mkdir, temporary_file
from maskrcnn_benchmark.utils.logger import setup_logger
from maskrcnn_benchmark.utils.workers import work_through
from maskrcnn_benchmark.visualization.dataset_browser import draw_sample
from maskrcnn_benchmark.visualization.dataset_page import write_dataset_page


def main():
    setup_environment()
    arguments = parse_arguments()
    setup_logger("maskrcnn_benchmark", "", 0)
    tasks = list(TASKS.values())
    cfg = dataset_config(arguments, TASKS)
    if arguments.augmented and cfg is None:
        raise UserError("--augmented goes with --config-file, whose INPUT options say how images are augmented")
    dataset = open_dataset(arguments, cfg, tuple(TASKS), images=True)
    if not len(dataset):
        raise UserError(f"{dataset_name(arguments, cfg)} has no image")
    mkdir(Path(arguments.output).parent)
    with temporary_file(arguments.output):
        pass  # whether it can be written is known before hours of counting
    counted = evenly_spread(range(len(dataset)), arguments.limit or len(dataset))
    phases = phases_of(dataset)
    counts = each_image(partial(count, dataset, tasks), counted, arguments.workers, "count")
    counts = DatasetCounts(counts, dataset.vocabulary, tasks, [phases[index] for index in counted])
    if arguments.augmented:
        items = augmented_items(cfg, dataset)
        drawn = evenly_spread(range(len(items)), min(arguments.sample, len(counted)))
        draw = partial(draw_augmented, items, tasks, phases=phases_of(items))
    else:
        drawn = evenly_spread(counted, arguments.sample)
        draw = partial(draw_one, dataset, tasks, phases=phases)
    draw = partial(draw, budget=PICTURE_BYTES // max(len(drawn), 1))
    samples = each_image(draw, drawn, min(arguments.workers, len(drawn)), "draw")
    title = f"Data set {Path(*Path(dataset_name(arguments, cfg)).parts[-2:])}"
    page = write_dataset_page(
        arguments.output, title, facts_of(arguments, cfg, dataset, counted), counts, samples, not dataset.has_images
    )
    print(f"{page}: {len(counted):,} images counted, {len(samples)} drawn, {page.stat().st_size / 1e6:.1f} MB")


def each_image(function, indices, workers, description):
    """[function(index) of each index], computed in worker processes with a progress bar."""
    results = work_through(function, indices, workers)
    return list(tqdm(results, total=len(indices), desc=description, unit="image", disable=None))


def evenly_spread(indices, number):
    """At most `number` of a sequence, at equal distances from its first on: list."""
    number = min(number, len(indices))
    return [indices[place * len(indices) // number] for place in range(number)]


def count(dataset, tasks, index):
    """`ImageCounts` of one image."""
    return count_image(dataset.get_annotations(index), dataset.vocabulary, tasks)


def augmented_items(cfg, dataset):
    """What a training on the data set alone gets by a config, with all tasks that it can teach, by (index, seed)."""
    cfg = cfg.clone()
    taught = taught_tasks(dataset, TASKS.values())
    for task in TASKS.values():
        cfg.MODEL[task.switch] = task.key in taught
    cfg.DATASETS.TRAIN, cfg.DATASETS.RATIOS, cfg.DATASETS.VOCABULARY = cfg.DATASETS.TEST, (), ""
    return training_items(cfg, *build_datasets(cfg, is_train=True))


def draw_augmented(items, tasks, index, phases, budget):
    """`Sample` of one item of training; its place is its seed."""
    image, annotations, _ = items[index, index]
    name = str(items.get_img_info(index).get("file_name", index))
    picture = image.permute(1, 2, 0).contiguous().numpy()
    return draw_sample(picture, annotations, items.vocabulary, tasks, name, phases[index], budget)


def draw_one(dataset, tasks, index, phases, budget):
    """`Sample` of one image."""
    info = dataset.get_img_info(index)
    name = str(info.get("file_name", info.get("image_id", index)))
    annotations = dataset.get_annotations(index)
    picture = read_picture(dataset, index, info)
    return draw_sample(picture, annotations, dataset.vocabulary, tasks, name, phases[index], budget)


def read_picture(dataset, index, info):
    """The image, uint8 [H, W, 3] RGB, or grey in its size."""
    if not dataset.has_images:
        return np.full((info["height"], info["width"], 3), BLANK, np.uint8)
    return np.asarray(dataset.open_image(index).convert("RGB"))


def phases_of(dataset):
    """The phase of each image by its annotation file, None where the file has none: list."""
    rows = getattr(getattr(dataset, "file", None), "images", {})
    return [rows[image_id].get("phase") if image_id in rows else None for image_id in dataset.ids]


def facts_of(arguments, cfg, dataset, counted):
    """What the head of the page says: list of (name, text)."""
    number = f"{len(counted):,}"
    if len(counted) < len(dataset):
        number += f", evenly spread over {len(dataset):,}"
    facts = [("images counted", number)]
    if arguments.augmented:
        facts.append(("samples", "as training gets them, by the config's INPUT options"))
    file = getattr(dataset, "file", None)
    if file is not None:
        facts.append(("annotations", str(file.path)))
    if cfg is not None:
        facts.append(("config", arguments.config_file))
    elif dataset.layout == "detail":
        facts.append(("split", arguments.split))
    return facts


if __name__ == "__main__":
    run_tool(main)
