"""The one place that measures speed: `python tools/benchmark.py SUBJECT --json FILE`, ours beside a peer in one run."""

import argparse
import itertools
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from tqdm import tqdm

from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, make_data_loader
from maskrcnn_benchmark.data.datasets.mini_detail import write_mini_detail
from maskrcnn_benchmark.engine.step import TrainingStep, autocast
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.tasks import TASKS
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.cli import run_tool
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.miscellaneous import atomic_write

# ---------------------------------------------------------------------------------------------------------------------
# What every subject shares: taking turns, medians, the table, the file
# ---------------------------------------------------------------------------------------------------------------------


def take_turns(actions, rounds, warmup, clock=time.perf_counter):
    """Time several actions alternately (A B C A B C ...), so that whatever slows the machine slows all of them.

    An interruption (Ctrl-C) after at least one whole round ends the measurement there.

    Args:
        actions: {name: function of the round's number, 0-based}; it must return when its work is done, not queued.
        rounds: timed rounds.
        warmup: rounds before them that are run but not timed.
        clock: seconds, as `time.perf_counter`.
    Returns:
        {name: list of seconds, one per whole round}.
    """
    seconds = {name: [] for name in actions}
    try:
        for turn in tqdm(range(-warmup, rounds), desc="rounds", unit="round", disable=None):
            times = {}
            for name, action in actions.items():
                start = clock()
                action(max(turn, 0))
                times[name] = clock() - start
            if turn >= 0:
                for name, taken in times.items():
                    seconds[name].append(taken)
    except KeyboardInterrupt:
        if not all(seconds.values()):
            raise
    return seconds


def medians(seconds):
    """{name: list of seconds} -> {name: median in seconds}."""
    return {name: statistics.median(taken) for name, taken in seconds.items()}


def format_table(seconds):
    """A table of medians and spreads, one line per timed action; `seconds` as `take_turns` returns it."""
    width = max(len(name) for name in seconds)
    lines = [f"{'':{width}}  {'median':>10}  {'fastest':>10}  {'slowest':>10}"]
    for name, taken in seconds.items():
        figures = (statistics.median(taken), min(taken), max(taken))
        lines.append(f"{name:{width}}  " + "  ".join(f"{1000 * t:7.1f} ms" for t in figures))
    return "\n".join(lines)


def machine(device):
    """What a reader of the figures has to know about the machine: a dictionary for the JSON file."""
    on_gpu = torch.device(device).type == "cuda"
    return {
        "device": torch.cuda.get_device_name(device) if on_gpu else platform.processor() or platform.machine(),
        "torch": torch.__version__,
        "python": platform.python_version(),
        "threads": torch.get_num_threads(),
    }


def write_json(path, result):
    """Write a result as JSON in one instant."""
    with atomic_write(path) as file:
        file.write((json.dumps(result, indent=2) + "\n").encode())


# ---------------------------------------------------------------------------------------------------------------------
# multitask: the eight-task network beside Mask R-CNN and eight single-task networks
# ---------------------------------------------------------------------------------------------------------------------

EIGHT_TASKS = "eight tasks"
MASK_RCNN = "Mask R-CNN"


def multitask_variants(cfg):
    """The configs to compare, all with the trunk and the image size of `cfg`.

    Answers per box need boxes, so the single-task networks of masks, joints and region parts detect, too.

    Returns:
        {name: config}: the network of all tasks, Mask R-CNN, and "only KEY" for each task.
    """
    per_box = {"instance", "keypoint"} | ({"part"} if cfg.MODEL.PART_HEAD == "roi" else set())
    variants = {EIGHT_TASKS: with_tasks(cfg, TASKS), MASK_RCNN: with_tasks(cfg, ("detection", "instance"))}
    for key in TASKS:
        variants[f"only {key}"] = with_tasks(cfg, ("detection", key) if key in per_box else (key,))
    return variants


def multitask_ratios(median):
    """The figures of merit from medians in seconds, by "NAME, train" and "NAME, infer".

    Returns:
        {"train_ratio_vs_mask_rcnn", "infer_ratio_vs_mask_rcnn", "train_ratio_vs_eight_single_task"}; less is better.
    """
    singles = sum(median[f"only {key}, train"] for key in TASKS)
    ours = median[f"{EIGHT_TASKS}, train"]
    return {
        "train_ratio_vs_mask_rcnn": ours / median[f"{MASK_RCNN}, train"],
        "infer_ratio_vs_mask_rcnn": median[f"{EIGHT_TASKS}, infer"] / median[f"{MASK_RCNN}, infer"],
        "train_ratio_vs_eight_single_task": ours / singles,
    }


class Network:
    """One of the networks to compare, with its optimizer.

    Args:
        cfg: its config, class counts included.
        vocabulary: `Vocabulary` of the batches.
    """

    def __init__(self, cfg, vocabulary):
        torch.manual_seed(0)
        self.device = torch.device(cfg.MODEL.DEVICE)
        self.model = build_detection_model(cfg, vocabulary).to(self.device)
        if cfg.MODEL.WEIGHT:
            DetectronCheckpointer(cfg, self.model).load(cfg.MODEL.WEIGHT, use_latest=False, only_weights=True)
        if cfg.MODEL.CHANNELS_LAST:
            self.model = self.model.to(memory_format=torch.channels_last)
        combiner = build_loss_combiner(cfg).to(self.device)
        self.dtype = cfg.DTYPE
        self.step = TrainingStep(
            self.model,
            combiner,
            make_optimizer(cfg, self.model, combiner),
            self.device,
            dtype=cfg.DTYPE,
            accumulate=cfg.SOLVER.ACCUMULATE_STEPS,
            clip_norm=cfg.SOLVER.CLIP_GRADIENT_NORM,
            channels_last=cfg.MODEL.CHANNELS_LAST,
        )

    def train_step(self, batch):
        """Forward, backward, checks, optimizer step: what training does between two batches."""
        images, targets = batch
        self.model.train()
        self.step(images, targets, lambda: ["an image of the benchmark"])
        self._wait()

    def infer(self, batch):
        """Predictions at the network's resolution."""
        self.model.eval()
        with torch.no_grad(), autocast(self.dtype, self.device):
            self.model(batch[0])
        self._wait()

    def _wait(self):
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


def add_multitask_arguments(parser):
    """Options of the subject `multitask`."""
    parser.add_argument("--config-file", default="configs/detail/mini_R_18_FPN.yaml", help="trunk, heads, image size")
    parser.add_argument("--weights", default="", metavar="FILE", help="checkpoint to start from (default: random)")
    parser.add_argument("--own-data", action="store_true", help="use DATASETS.TRAIN, not a new mini_detail")
    parser.add_argument("--batches", type=positive, default=4, help="different batches, taken in turn (default 4)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options after everything else: KEY VALUE ...")


def measure_multitask(args):
    """Time training iterations and inference of all variants on the same batches. Returns the result's dictionary."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHT = args.device, args.weights
    cfg = with_tasks(cfg, TASKS)
    batches, vocabulary = training_batches(cfg, args.batches, args.own_data)
    bind_vocabulary(cfg, vocabulary)
    networks = {name: Network(variant, vocabulary) for name, variant in multitask_variants(cfg).items()}
    actions = {}
    for name, network in networks.items():
        actions[f"{name}, train"] = lambda turn, network=network: network.train_step(batches[turn % len(batches)])
    for name in (EIGHT_TASKS, MASK_RCNN):
        actions[f"{name}, infer"] = lambda turn, network=networks[name]: network.infer(batches[turn % len(batches)])
    seconds = take_turns(actions, args.rounds, args.warmup)
    ratios = multitask_ratios(medians(seconds))
    print(format_table(seconds))
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    return {
        **ratios,
        "seconds": medians(seconds),
        "rounds": len(next(iter(seconds.values()))),
        "config_file": args.config_file,
        "options": args.opts,
        "weights": args.weights or "random",
        "batch_shapes": [list(images.tensors.shape) for images, _ in batches],
        "data": list(cfg.DATASETS.TRAIN) if args.own_data else "mini_detail",
    }


def with_tasks(cfg, keys):
    """A copy of a config with exactly the tasks of `keys` on."""
    cfg = cfg.clone()
    for key, task in TASKS.items():
        setattr(cfg.MODEL, task.switch, key in keys)
    return cfg


def training_batches(cfg, count, own_data):
    """The first batches of training: of the config's data set, or of a mini_detail drawn for the occasion.

    Returns:
        list of (`ImageList`, list of `ImageAnnotations`) on the config's device, and the data set's `Vocabulary`.
    """
    cfg = cfg.clone()
    cfg.DATALOADER.NUM_WORKERS, cfg.SOLVER.SEED = 0, 0
    with tempfile.TemporaryDirectory() as folder:
        if not own_data:
            # Twice the images, so that upright and wide ones alike fill whole batches
            write_mini_detail(Path(folder) / "mini_detail", 2 * count * cfg.SOLVER.IMS_PER_BATCH, 1, seed=0)
            cfg.DATASETS.DATA_DIR, cfg.DATASETS.TRAIN = folder, ("mini_detail_train",)
        loader = make_data_loader(cfg, is_train=True)
        batches = [batch[:2] for batch in itertools.islice(loader, count)]
        vocabulary = loader.dataset.vocabulary
    device = cfg.MODEL.DEVICE
    return [(images.to(device), [target.to(device) for target in targets]) for images, targets in batches], vocabulary


# ---------------------------------------------------------------------------------------------------------------------
# The command
# ---------------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Subject:
    """What can be measured: what it says, its options, and the function from parsed options to a dictionary."""

    summary: str
    add_arguments: Callable
    measure: Callable


SUBJECTS = {
    "multitask": Subject(
        "the eight-task network beside Mask R-CNN and eight single-task networks",
        add_multitask_arguments,
        measure_multitask,
    ),
}


def positive(text):
    """A whole number of at least 1 from the command line."""
    if not text.isdigit() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at least 1")
    return int(text)


def parse_arguments(argv=None):
    """The command line: a subject and its options. Prints usage and leaves with 2 where it makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name, subject in SUBJECTS.items():
        sub = subjects.add_parser(name, help=subject.summary, description=subject.summary)
        sub.add_argument("--json", metavar="FILE", help="write the figures to FILE")
        sub.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
        sub.add_argument("--rounds", type=positive, default=10, help="timed rounds (default 10)")
        sub.add_argument("--warmup", type=positive, default=2, help="rounds before them (default 2)")
        subject.add_arguments(sub)
    return parser.parse_args(argv)


def main(argv=None):
    """Measure one subject, print its table, write its file."""
    args = parse_arguments(argv)
    check_before_measuring(args)
    result = {"subject": args.subject, **SUBJECTS[args.subject].measure(args), **machine(args.device)}
    if args.json:
        write_json(args.json, result)
        print(f"wrote {args.json}")


def check_before_measuring(args):
    """Refuse what would only fail minutes later. Raises `UserError`."""
    try:
        on_gpu = torch.device(args.device).type == "cuda"
    except RuntimeError:
        raise UserError(f"--device {args.device} is no device; use cpu, cuda, cuda:1, ...") from None
    if on_gpu and not torch.cuda.is_available():
        raise UserError(f"--device {args.device}, but PyTorch sees no CUDA device; use --device cpu")
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: there is no folder {Path(args.json).absolute().parent}; make it first")


if __name__ == "__main__":
    run_tool(main)
