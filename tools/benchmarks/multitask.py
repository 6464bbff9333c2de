"""The eight-task network beside Mask R-CNN and eight single-task networks."""

import itertools
import tempfile
from pathlib import Path

import torch

from benchmarks.timing import format_table, medians, take_turns, wait_for
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary, make_data_loader
from maskrcnn_benchmark.data.mini_detail.writing import write_mini_detail
from maskrcnn_benchmark.engine.precision import float32_precision, inference_precision
from maskrcnn_benchmark.engine.step import TrainingStep
from maskrcnn_benchmark.modeling.detector import build_detection_model
from maskrcnn_benchmark.multitask.loss_combiner import build_loss_combiner
from maskrcnn_benchmark.solver import make_optimizer
from maskrcnn_benchmark.tasks.task import enabled_tasks, tasks_of_layout, with_requirements
from maskrcnn_benchmark.utils.checkpoint import DetectronCheckpointer
from maskrcnn_benchmark.utils.devices import resolve_device

TASKS = tasks_of_layout("detail")  # the eight of PASCAL in Detail

EIGHT_TASKS = "eight tasks"
MASK_RCNN = "Mask R-CNN"


def variants_of(cfg):
    """The configs to compare, all with the backbone and the image size of `cfg`.

    A single-task network has what its task needs as well: those of masks, keypoints and region parts detect, too.

    Returns:
        {name: config}: the network of all tasks, Mask R-CNN, and "only KEY" for each task.
    """
    variants = {EIGHT_TASKS: with_tasks(cfg, TASKS), MASK_RCNN: with_tasks(cfg, ("detection", "instance"))}
    for key in TASKS:
        variants[f"only {key}"] = with_tasks(cfg, with_requirements([key], cfg))
    return variants


def ratios_of(median):
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
        self.device = resolve_device(cfg.MODEL.DEVICE)
        self.model = build_detection_model(cfg, vocabulary).to(self.device)
        if cfg.MODEL.WEIGHT:
            DetectronCheckpointer(cfg, self.model).load(cfg.MODEL.WEIGHT, use_latest=False, only_weights=True)
        combiner = build_loss_combiner(cfg, enabled_tasks(cfg)).to(self.device)
        self.cfg = cfg
        self.step = TrainingStep(
            self.model,
            combiner,
            make_optimizer(cfg, self.model, combiner),
            self.device,
            dtype=cfg.DTYPE,
            accumulate=cfg.SOLVER.ACCUMULATE_STEPS,
            clip_norm=cfg.SOLVER.CLIP_GRADIENT_NORM,
        )

    def train_step(self, batch):
        """Forward, backward, checks, optimizer step: what training does between two batches."""
        images, targets = batch
        self.model.train()
        with float32_precision(self.cfg.TF32):
            self.step(images, targets, lambda: ["an image of the benchmark"])
        wait_for(self.device)

    def take_weights(self, other):
        """Take over the weights of another `Network` that both have: then both detect the same boxes."""
        own = self.model.state_dict()
        self.model.load_state_dict({n: w for n, w in other.model.state_dict().items() if n in own}, strict=False)

    def infer(self, batch):
        """Predictions at the network's resolution, in the precision of a test, as the network returns them."""
        self.model.eval()
        precision = inference_precision(self.cfg.TEST.DTYPE, self.cfg.TEST.TF32, self.device)
        with torch.no_grad(), precision:
            answers = self.model(batch[0])
        wait_for(self.device)
        return answers

    def detections(self, batches):
        """Boxes that it finds on an image, the mean over the batches."""
        answers = [answer for batch in batches for answer in self.infer(batch)]
        return sum(len(getattr(answer, "instances", answer)) for answer in answers) / len(answers)


def measure(args):
    """Time training iterations and inference of all variants on the same batches. Returns the result's dictionary."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.MODEL.DEVICE, cfg.MODEL.WEIGHT = args.device, args.weights
    cfg = with_tasks(cfg, TASKS)
    if not args.weights and not cfg.is_given("MODEL.ROI_HEADS.SCORE_THRESH"):
        cfg.MODEL.ROI_HEADS.SCORE_THRESH = 0.0  # random weights are sure of nothing: as many boxes as the config allows
    batches, vocabulary = training_batches(cfg, args.batches, args.own_data)
    bind_vocabulary(cfg, vocabulary)
    networks = {name: Network(variant, vocabulary) for name, variant in variants_of(cfg).items()}
    actions = {}
    for name, network in networks.items():
        actions[f"{name}, train"] = lambda turn, network=network: network.train_step(batches[turn % len(batches)])
    seconds = take_turns(actions, args.rounds, args.warmup)
    # What follows detection costs by the box, so both networks answer for the same boxes
    networks[MASK_RCNN].take_weights(networks[EIGHT_TASKS])
    answers = {
        f"{name}, infer": lambda turn, network=networks[name]: network.infer(batches[turn % len(batches)])
        for name in (EIGHT_TASKS, MASK_RCNN)
    }
    found = {name: networks[name].detections(batches) for name in (EIGHT_TASKS, MASK_RCNN)}
    seconds |= take_turns(answers, args.rounds, args.warmup)
    ratios = ratios_of(medians(seconds))
    print(format_table(seconds))
    for name, ratio in ratios.items():
        print(f"{name}: {ratio:.2f}")
    print(f"boxes on an image in inference: {', '.join(f'{name} {count:.1f}' for name, count in found.items())}")
    return {
        **ratios,
        "seconds": medians(seconds),
        "infer_boxes_per_image": found,
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
    device = resolve_device(cfg.MODEL.DEVICE)
    return [(images.to(device), [target.to(device) for target in targets]) for images, targets in batches], vocabulary
