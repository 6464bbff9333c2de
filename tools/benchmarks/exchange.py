"""Every task exchange beside none: training steps, predictions, parameters and multiplications."""

import time

import torch
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.multitask import Network, training_batches, with_tasks
from benchmarks.timing import format_table, medians, take_turns
from maskrcnn_benchmark.config import cfg as default_cfg
from maskrcnn_benchmark.data.build import bind_vocabulary
from maskrcnn_benchmark.modeling.fpn_heads.exchange import NONE, TASK_EXCHANGES
from maskrcnn_benchmark.tasks.task import enabled_tasks


def measure(args):
    """Time training steps and predictions of the config's heads per image. Returns the result's dictionary."""
    cfg = default_cfg.clone()
    cfg.merge_from_file(args.config_file)
    cfg.merge_from_list(args.opts)
    cfg.MODEL.DEVICE = args.device
    # heads on regions take no part, and their time depends on how many regions there are
    cfg = with_tasks(cfg, [task.key for task in enabled_tasks(cfg) if task.dense_features(cfg)])
    batches, vocabulary = training_batches(cfg, args.batches, own_data=False)
    bind_vocabulary(cfg, vocabulary)
    networks, sizes, actions = {}, {}, {}
    for name in (NONE, *TASK_EXCHANGES):
        variant = cfg.clone()
        variant.MODEL.TASK_EXCHANGE.NAME = name
        network = networks[name] = Network(variant, vocabulary)
        sizes[name] = {
            "parameters": sum(parameter.numel() for parameter in network.model.parameters()),
            "multiplications_per_image": multiplications(network, batches[0]),
        }
        actions[f"{name}, train"] = lambda turn, network=network: network.train_step(batches[turn % len(batches)])
        actions[f"{name}, infer"] = lambda turn, network=network: network.infer(batches[turn % len(batches)])
    seconds = take_turns(actions, args.rounds, args.warmup, time.process_time if args.cpu_time else time.perf_counter)
    median = medians(seconds)
    ratios = {key: median[key] / median[f"{NONE}, {key.rpartition(' ')[2]}"] for key in median}
    print(format_table(seconds))
    for name, size in sizes.items():
        million, billion = size["parameters"] / 1e6, size["multiplications_per_image"] / 1e9
        train, infer = ratios[f"{name}, train"], ratios[f"{name}, infer"]
        print(
            f"{name}: {million:.2f} M parameters, {billion:.2f} G multiplications, train {train:.2f}, infer {infer:.2f}"
        )
    return {
        "ratios": ratios,
        "sizes": sizes,
        "seconds": median,
        "rounds": len(next(iter(seconds.values()))),
        "clock": "processor" if args.cpu_time else "wall",
        "config_file": args.config_file,
        "options": args.opts,
        "batch_shapes": [list(images.tensors.shape) for images, _ in batches],
    }


def multiplications(network, batch):
    """Multiplications of convolutions and matrix products in predicting an image of a batch."""
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network.infer(batch)
    return counter.get_total_flops() / 2 / len(batch[0].tensors)
