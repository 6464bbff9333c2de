"""The one place that measures speed: `python tools/benchmark.py SUBJECT --json FILE`, ours beside a peer in one run."""

import argparse
from pathlib import Path

from benchmarks.subjects import SUBJECTS
from maskrcnn_benchmark.utils.arguments import positive
from maskrcnn_benchmark.utils.cli import parse_early, run_tool
from maskrcnn_benchmark.utils.errors import UserError


def parse_arguments(argv=None):
    """The command line: a subject and its options. Prints usage and leaves with 2 where it makes no sense."""
    parser = argparse.ArgumentParser(description=__doc__)
    subjects = parser.add_subparsers(dest="subject", required=True, metavar="SUBJECT")
    for name, subject in SUBJECTS.items():
        sub = subjects.add_parser(name, help=subject.summary, description=subject.summary)
        sub.add_argument("--json", metavar="FILE", help="write the figures to FILE")
        sub.add_argument("--device", default="cpu", help="cpu (default), cuda, cuda:1, ...")
        sub.add_argument("--rounds", type=positive, default=10, help="timed rounds (default %(default)s)")
        sub.add_argument("--warmup", type=positive, default=2, help="rounds before them (default %(default)s)")
        subject.add_arguments(sub)
    return parser.parse_args(argv)


# A question for help and a mistyped option need not wait for what follows
parse_early(__name__, parse_arguments)

import torch

from benchmarks import backbone, balancing, coco_dataset, dataset, detector, evaluation, exchange, multitask, predict
from benchmarks.timing import machine, write_json
from maskrcnn_benchmark.utils.devices import resolve_device

MEASURES = {
    "backbone": backbone.measure,
    "balancing": balancing.measure,
    "coco": coco_dataset.measure,
    "dataset": dataset.measure,
    "detector": detector.measure,
    "evaluation": evaluation.measure,
    "exchange": exchange.measure,
    "multitask": multitask.measure,
    "predict": predict.measure,
}


def main(argv=None):
    """Measure one subject, print its table, write its file."""
    args = parse_arguments(argv)
    check_before_measuring(args)
    result = {"subject": args.subject, **MEASURES[args.subject](args), **machine(args.device)}
    if args.json:
        write_json(args.json, result)
        print(f"wrote {args.json}")


def check_before_measuring(args):
    """Refuse what would only fail minutes later, and name the device by its index. Raises `UserError`."""
    device = resolve_device(args.device, "--device")
    if device.type == "cuda":
        torch.cuda.set_device(device)
    args.device = str(device)
    if args.json and not Path(args.json).absolute().parent.is_dir():
        raise UserError(f"--json {args.json}: there is no folder {Path(args.json).absolute().parent}; make it first")


if __name__ == "__main__":
    run_tool(main)
