"""`Predictor` beside the bare forward pass of its network, drawing, and the first answer of a fresh process."""

import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image

from benchmarks.photograph_scenes import SIZE, photograph_like
from benchmarks.timing import format_table, medians, take_turns, wait_for
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, load_vocabulary
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.data.transforms import build_transforms
from maskrcnn_benchmark.engine.precision import inference_precision
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.predict.predictor import Predictor
from maskrcnn_benchmark.structures.image_list import to_image_list
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError

FORWARD, PREDICT, DRAW = "bare forward pass", "predictor, all answers", "draw all tasks"
COLD = """
import sys, time
import torch
torch.set_num_threads(int(sys.argv[3]))
start = time.perf_counter()
from maskrcnn_benchmark import Predictor
predictor = Predictor(sys.argv[1], device=sys.argv[4])
result = predictor(sys.argv[2])
[result[task] for task in result.tasks]
print(time.perf_counter() - start)
"""


def measure(args):
    """Time them in turn. Returns the result's dictionary: "overhead_ms", "draw_ms", "cold_start_seconds" and more."""
    torch.set_num_threads(args.threads)
    cv2.setNumThreads(args.threads)
    with tempfile.TemporaryDirectory() as folder:
        image = args.image or draw_photograph(Path(folder) / "photograph.jpg")
        checkpoint = args.checkpoint or untrained_checkpoint(args.config_file, Path(folder))
        predictor = Predictor(checkpoint, device=args.device)
        seconds = take_turns(actions_of(predictor, image), args.rounds, args.warmup, shuffled=True)
        starts = [cold_start(checkpoint, image, args) for _ in range(args.starts)]
        found = len(predictor(image).with_thresholds({"detection": 0.0}).detection)
        size = Image.open(image).size
    print(format_table(seconds))
    overhead = statistics.median(ours - bare for ours, bare in zip(seconds[PREDICT], seconds[FORWARD]))
    figures = {
        "overhead_ms": 1000 * overhead,
        "draw_ms": 1000 * statistics.median(seconds[DRAW]),
        "cold_start_seconds": statistics.median(starts),
    }
    for name, value in figures.items():
        print(f"{name}: {value:.2f}")
    return {
        **figures,
        "seconds": medians(seconds),
        "rounds": len(seconds[FORWARD]),
        "checkpoint": args.checkpoint or f"untrained network of {args.config_file}",
        "image_size": list(size),
        "objects": found,
        "tasks": list(predictor.tasks),
    }


def actions_of(predictor, image):
    """Functions of a turn: the network on a tensor that is ready; a file to all answers; a result to a picture."""
    cfg, model = predictor.network.cfg, predictor.network.model
    device = resolve_device(cfg.MODEL.DEVICE)
    tensor = build_transforms(cfg, is_train=False)(Image.open(image).convert("RGB"))[0]
    batch = to_image_list([tensor], cfg.DATALOADER.SIZE_DIVISIBILITY).to(device)
    result = predictor(image)

    def forward(turn):
        with torch.inference_mode(), inference_precision(cfg.TEST.DTYPE, cfg.TEST.TF32, device):
            model(batch)
        wait_for(device)

    def predict(turn):
        answers = predictor(image)
        return [answers[task] for task in answers.tasks]

    def draw(turn):
        result.with_thresholds({}).draw()

    return {FORWARD: forward, PREDICT: predict, DRAW: draw}


def cold_start(checkpoint, image, args):
    """Seconds from an imported PyTorch to all answers on an image, in a process of its own."""
    command = [sys.executable, "-c", COLD, str(checkpoint), str(image), str(args.threads), args.device]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace")
    if done.returncode:
        raise UserError(f"a fresh process failed: {done.stderr.strip().splitlines()[-1]}")
    return float(done.stdout.split()[-1])


def draw_photograph(path):
    """A JPEG of 500x375 as intricate as a photograph; returns its path."""
    picture = photograph_like(np.random.default_rng(7)).picture
    image = Image.fromarray(np.ascontiguousarray(picture))
    assert image.size == SIZE
    image.save(path, quality=90)
    return path


def untrained_checkpoint(config_file, folder):
    """A checkpoint with random weights that keeps as many boxes as its config allows, the most work there can be."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(config_file)
    write_mini_detail(folder / "mini_detail", num_train=2, num_val=2, seed=0)
    cfg.merge_from_list(
        [
            *("DATASETS.DATA_DIR", str(folder), "MODEL.ROI_HEADS.SCORE_THRESH", 0.0),
            *("DATASETS.TRAIN", ("mini_detail_train",), "DATASETS.TEST", ("mini_detail_val",)),
        ]
    )
    vocabulary = load_vocabulary(cfg)
    bind_vocabulary(cfg, vocabulary)
    torch.manual_seed(0)
    model = build_detection_model(cfg, vocabulary)
    path = folder / "untrained.pth"
    torch.save({"model": model.state_dict(), "vocabulary": vocabulary.to_dict(), "config": cfg.dump()}, path)
    return path
