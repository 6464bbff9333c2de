"""Draw the pictures of docs/tasks/: of a validation image the photograph, ground truth and prediction, task by task.

python docs/examples/draw_tasks.py output/mini_R_18_FPN/model_final.pth docs/images/tasks
"""

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

from maskrcnn_benchmark import Predictor
from maskrcnn_benchmark.data.build_dataset import build_dataset
from maskrcnn_benchmark.tasks import TASKS
from maskrcnn_benchmark.utils.arguments import natural
from maskrcnn_benchmark.utils.cli import run_tool

GAP = 12
WIDTH = 400


def parse_arguments(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("checkpoint", help="a trained network")
    parser.add_argument("output", help="the folder of the pictures")
    parser.add_argument(
        "--index", type=natural, default=0, help="number of the image in the first data set of DATASETS.TEST"
    )
    return parser.parse_args(arguments)


def side_by_side(panels):
    """RGB images, each uint8 [h, w, 3], brought to one width and joined with white between and below them."""
    images = [Image.fromarray(np.asarray(panel)) for panel in panels]
    images = [image.resize((WIDTH, round(image.height * WIDTH / image.width)), Image.LANCZOS) for image in images]
    row = Image.new("RGB", ((WIDTH + GAP) * len(images) - GAP, max(image.height for image in images)), "white")
    for place, image in enumerate(images):
        row.paste(image, (place * (WIDTH + GAP), 0))
    return row


def main(arguments=None):
    arguments = parse_arguments(arguments)
    predictor = Predictor(arguments.checkpoint)
    cfg = predictor.network.cfg
    dataset = build_dataset(cfg, cfg.DATASETS.TEST[0], transforms=None, is_train=False)
    photograph, annotations, _ = dataset[arguments.index]
    predicted = predictor(photograph)
    output = Path(arguments.output)
    output.mkdir(parents=True, exist_ok=True)
    for key in predictor.tasks:
        ground_truth = TASKS[key].draw(predicted.image, annotations, predictor.vocabulary)
        row = side_by_side([predicted.image, ground_truth, predicted.draw(key)])
        row.save(output / f"{key}.jpg", quality=90, subsampling=0)


if __name__ == "__main__":
    run_tool(main)
