"""What a backbone of timm costs in training: frozen beside trained, an average of the weights, rates layer by layer."""

import statistics
import time

import torch

from benchmarks.multitask import Network, training_batches, with_tasks
from benchmarks.timing import format_table, medians, take_turns, wait_for
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary
from maskrcnn_benchmark.engine.weight_average import WeightAverage
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.tasks.task import tasks_of_layout
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

TWO, EIGHT = "two tasks", "eight tasks"
TASKS_OF = {TWO: ("semantic", "classification"), EIGHT: tuple(TASKS)}
AVERAGE, PLAIN, LAYERED = "average of the weights", "optimizer", "optimizer, LAYER_DECAY"
ALL_OF_IT = 200  # FREEZE_CONV_BODY_AT


def variants_of(cfg):
    """{"TASKS, trained" or "TASKS, frozen": config}, of two tasks that need no regions and of all eight."""
    variants = {}
    for name, tasks in TASKS_OF.items():
        for state, count in (("trained", 0), ("frozen", ALL_OF_IT)):
            variant = variants[f"{name}, {state}"] = with_tasks(cfg, tasks)
            variant.MODEL.BACKBONE.FREEZE_CONV_BODY_AT = count
    return variants


def ratios_of(seconds):
    """The figures of merit, medians over the rounds of a round's ratio; `seconds` as `take_turns` returns it.

    An update of the average and an optimizer's step take so small a part of a training step that two whole steps
    differ by more from one to the next: they are timed by themselves, and counted beside the step of the same round.

    Returns:
        {"frozen_step_ratio", "frozen_step_ratio_eight_tasks": a step of a frozen backbone over that of a trained one,
        "ema_overhead_ratio": a step with an update of the average over the step alone,
        "layer_decay_overhead_ratio": a step with an optimizer of many groups over one with few, where both are of the
        network of two tasks, whose step is the shorter one}.
    """

    def median(top, below):
        return statistics.median(a / b for a, b in zip(top, below))

    step = seconds[f"{TWO}, trained"]
    averaged = [a + b for a, b in zip(step, seconds[AVERAGE])]
    layered = [a + b - c for a, b, c in zip(step, seconds[LAYERED], seconds[PLAIN])]
    return {
        "frozen_step_ratio": median(seconds[f"{TWO}, frozen"], step),
        "frozen_step_ratio_eight_tasks": median(seconds[f"{EIGHT}, frozen"], seconds[f"{EIGHT}, trained"]),
        "ema_overhead_ratio": median(averaged, step),
        "layer_decay_overhead_ratio": median(layered, step),
    }


def parts_of(network, cfg, layer_decay):
    """What is timed by itself: functions of a turn for `AVERAGE`, `PLAIN` and `LAYERED`, and numbers of groups.

    The two optimizers move the weights of the same network by the gradients that its last step has left, at a rate of
    0, which costs what any other does and leaves the network as it is.
    """
    average = WeightAverage(network.model, cfg.SOLVER.EMA_DECAY or 0.9998)
    optimizers = {}
    for name, decay in ((PLAIN, 1.0), (LAYERED, layer_decay)):
        variant = cfg.clone()
        variant.SOLVER.LAYER_DECAY = decay
        optimizers[name] = make_optimizer(variant, network.model)
        for group in optimizers[name].param_groups:
            group["lr"] = 0.0

    def run(work):
        def turn(number):
            work()
            wait_for(network.device)

        return turn

    actions = {AVERAGE: run(average.update), **{name: run(each.step) for name, each in optimizers.items()}}
    return actions, {name: len(each.param_groups) for name, each in optimizers.items()}


def measure(args):
    """Time training steps of all variants on the same batches. Returns the result's dictionary."""
    if args.cpu_time and args.device != "cpu":
        raise UserError(f"--cpu-time says nothing of --device {args.device}; leave it out there")
    cfg = default_cfg.clone()
    cfg.merge_from_file(args.config_file)
    size = ["INPUT.MIN_SIZE_TRAIN", (args.size,), "INPUT.MAX_SIZE_TRAIN", args.size]
    cfg.merge_from_list(["MODEL.WEIGHT", "", "SOLVER.IMS_PER_BATCH", args.batch, "DTYPE", "float32", *size])
    cfg.merge_from_list(args.opts)
    cfg.MODEL.DEVICE, layer_decay = args.device, cfg.SOLVER.LAYER_DECAY
    if layer_decay == 1:
        layer_decay = 0.7
    cfg.SOLVER.LAYER_DECAY = 1.0
    cfg = with_tasks(cfg, TASKS)
    batches, vocabulary = training_batches(cfg, args.batches, False)
    bind_vocabulary(cfg, vocabulary)
    variants = variants_of(cfg)
    networks = {name: Network(variant, vocabulary) for name, variant in variants.items()}

    def train(network):
        def run(turn):
            torch.manual_seed(turn)  # all draw the same samples
            network.train_step(batches[turn % len(batches)])

        return run

    trained = f"{TWO}, trained"
    parts, groups = parts_of(networks[trained], variants[trained], layer_decay)
    actions = {name: train(network) for name, network in networks.items()}
    clock = time.process_time if args.cpu_time else time.perf_counter
    seconds = take_turns(actions | parts, args.rounds, args.warmup, clock)
    ratios = ratios_of(seconds)
    print(format_table(seconds))
    for name, value in ratios.items():
        print(f"{name}: {value:.3f}")
    return {
        **ratios,
        "seconds": medians(seconds),
        "rounds": len(seconds[trained]),
        "config_file": args.config_file,
        "options": args.opts,
        "backbone": cfg.MODEL.BACKBONE.TIMM.NAME or cfg.MODEL.BACKBONE.CONV_BODY,
        "batch_shapes": [list(images.tensors.shape) for images, _ in batches],
        "optimizer_groups": groups,
        "layer_decay": layer_decay,
        "dtype": cfg.DTYPE,
        "clock": "processor" if args.cpu_time else "wall",
    }
