"""The loss combiner beside the plain sum of all losses, written in the simplest way."""

import math
import statistics

import torch

from benchmarks.multitask import Network, training_batches, with_tasks
from benchmarks.timing import format_table, medians, take_turns, wait_for
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary
from maskrcnn_benchmark.engine.precision import autocast, float32_precision
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.aggregations import AGGREGATIONS
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.multitask.weightings import WEIGHTINGS
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.tasks.task import enabled_tasks, task_of_loss, tasks_of_layout
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

PLAIN, FIXED = "plain sum", "fixed weights"
FEATURES, PARAMETERS = "upgrad at features", "upgrad at parameters"
COMBINER, SUM = "combiner alone", "sum alone"


class PlainStep:
    """The training iteration as one writes it without a combiner: the reference of all ratios.

    The same network, from the same random numbers, on the same batches: forward pass, sum of weight * loss, backward,
    norm, clipping, optimizer step. What the training step checks, that the losses and the gradient's norm are finite,
    is checked here in the simplest way, and the losses are fetched from the device for the log. What is left out, and
    counted as the combiner's, are tasks, their shares and schedule, portions, and agreement between processes.

    Args:
        cfg: its config, class counts included; float32 or bfloat16, one portion, one process.
        vocabulary: `Vocabulary` of the batches.
    """

    def __init__(self, cfg, vocabulary):
        torch.manual_seed(0)
        self.device, self.dtype, self.tf32 = resolve_device(cfg.MODEL.DEVICE), cfg.DTYPE, cfg.TF32
        self.model = build_detection_model(cfg, vocabulary).to(self.device)
        self.optimizer = make_optimizer(cfg, self.model)
        self.parameters = [p for group in self.optimizer.param_groups for p in group["params"]]
        self.clip_norm = cfg.SOLVER.CLIP_GRADIENT_NORM
        self.weights = cfg.MULTITASK.LOSS_WEIGHTS

    def train_step(self, batch):
        """Forward, sum, backward, checks, clipping, optimizer step."""
        images, targets = batch
        self.model.train()
        self.optimizer.zero_grad(set_to_none=True)
        with float32_precision(self.tf32):
            with autocast(self.dtype, self.device):
                losses = self.model(images, targets)
            plain_sum(losses, self.weights).backward()
        values = torch.stack([loss.detach().float() for loss in losses.values()]).tolist()
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.nn.utils.get_total_norm(gradients)
        if not (all(map(math.isfinite, values)) and torch.isfinite(norm)):
            raise ValueError("a loss or its gradient is not finite")
        if self.clip_norm > 0:
            torch.nn.utils.clip_grads_with_norm_(self.parameters, self.clip_norm, norm)
        self.optimizer.step()
        wait_for(self.device)


def plain_sum(losses, weights):
    """sum of weight * loss; `weights` is `cfg.MULTITASK.LOSS_WEIGHTS`."""
    return sum(weights[task_of_loss(name).key.upper()] * loss for name, loss in losses.items())


def variants_of(cfg, all_methods=False):
    """{name: config} of what is timed beside the plain sum.

    Aggregations that compare halves of a batch run it in two micro-batches, which is a part of what they cost.
    """

    def variant(**options):
        changed = cfg.clone()
        for name, value in {"WEIGHTING": "fixed", "AGGREGATION": "", "GRADIENTS_AT": "features", **options}.items():
            changed.MULTITASK[name] = value
        return changed

    variants = {
        FIXED: variant(),
        FEATURES: variant(AGGREGATION="upgrad"),
        PARAMETERS: variant(AGGREGATION="upgrad", GRADIENTS_AT="parameters"),
    }
    if all_methods:
        variants |= {name: variant(WEIGHTING=name) for name in WEIGHTINGS if name != "fixed"}
        for name, method in AGGREGATIONS.items():
            level = method.levels[0]
            variants[f"{name} at {level}"] = variant(AGGREGATION=name, GRADIENTS_AT=level)
            if method.halves:
                variants[f"{name} at {level}"].SOLVER.ACCUMULATE_STEPS = 2
    return variants


def ratios_of(seconds):
    """The figures of merit, medians over the rounds of a round's ratio; `seconds` as `take_turns` returns it.

    Returns:
        {"fixed_overhead_ratio", "feature_level_ratio", "parameter_level_ratio"}, iterations over that of the plain sum;
        from two rounds on "fixed_overhead_error", the first one's standard error (of a median of normal numbers),
        without which it says little: on a busy machine ten rounds are good to ten percent; and "combiner_ms", what the
        combiner with fixed weights takes for itself beyond a sum, in milliseconds.
    """

    def ratios(name):
        return [ours / plain for ours, plain in zip(seconds[name], seconds[PLAIN])]

    fixed = ratios(FIXED)
    error = math.sqrt(math.pi / 2 / len(fixed))
    return {
        "fixed_overhead_ratio": statistics.median(fixed),
        **({"fixed_overhead_error": error * statistics.stdev(fixed)} if len(fixed) > 1 else {}),
        "feature_level_ratio": statistics.median(ratios(FEATURES)),
        "parameter_level_ratio": statistics.median(ratios(PARAMETERS)),
        "combiner_ms": 1000 * statistics.median(a - b for a, b in zip(seconds[COMBINER], seconds[SUM])),
    }


def alone(cfg, names, batch):
    """What differs between the two, without a network: functions of a turn for `COMBINER` and `SUM`.

    The losses are numbers that nothing stands behind. The combiner's turn has all that a step asks of it, its shares
    of the batch's targets included.
    """
    device = resolve_device(cfg.MODEL.DEVICE)
    combiner = build_loss_combiner(cfg, enabled_tasks(cfg)).to(device)
    losses = {name: torch.ones((), device=device, requires_grad=True) for name in names}

    def run_combiner(turn):
        combiner.begin()
        combiner.backward(losses, *combiner.normalizers_of([batch[1]]))
        combiner.finish()
        combiner.settled()
        combiner.learn(list)
        wait_for(device)

    def run_sum(turn):
        plain_sum(losses, cfg.MULTITASK.LOSS_WEIGHTS).backward()
        wait_for(device)

    return {COMBINER: run_combiner, SUM: run_sum}


def measure(args):
    """Time training iterations of all variants on the same batches. Returns the result's dictionary."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHT, cfg.SOLVER.ACCUMULATE_STEPS = args.device, "", 1
    if cfg.DTYPE == "float16":
        raise UserError("DTYPE float16: the plain sum here does not scale its loss; use float32 or bfloat16")
    cfg = with_tasks(cfg, TASKS)
    batches, vocabulary = training_batches(cfg, args.batches, args.own_data)
    bind_vocabulary(cfg, vocabulary)
    variants = variants_of(cfg, args.all_methods)
    plain = PlainStep(cfg, vocabulary)
    networks = {PLAIN: plain, **{name: Network(variant, vocabulary) for name, variant in variants.items()}}

    def train(network):
        def run(turn):
            torch.manual_seed(turn)  # all draw the same samples
            network.train_step(batches[turn % len(batches)])

        return run

    with torch.no_grad():
        plain.model.train()
        names = list(plain.model(*batches[0]))
    actions = {name: train(network) for name, network in networks.items()}
    seconds = take_turns(actions | alone(variants[FIXED], names, batches[0]), args.rounds, args.warmup, shuffled=True)
    ratios = ratios_of(seconds)
    print(format_table(seconds))
    for name, value in ratios.items():
        print(f"{name}: {value:.3f}")
    return {
        **ratios,
        "seconds": medians(seconds),
        "rounds": len(seconds[PLAIN]),
        "config_file": args.config_file,
        "options": args.opts,
        "batch_shapes": [list(images.tensors.shape) for images, _ in batches],
        "data": list(cfg.DATASETS.TRAIN) if args.own_data else "mini_detail",
    }
