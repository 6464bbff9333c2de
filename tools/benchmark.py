"""The one place that measures speed: `python tools/benchmark.py SUBJECT --json FILE`, ours beside a peer in one run."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from maskrcnn_benchmark.utils.cli import run_tool

# The package chooses the threads of PyTorch, which has to come after it
# isort: split
import torch

from benchmarks import balancing, coco_dataset, dataset, detector, evaluation, multitask, predict
from benchmarks.timing import machine, write_json
from maskrcnn_benchmark.utils.arguments import positive
from maskrcnn_benchmark.utils.devices import resolve_device
from maskrcnn_benchmark.utils.errors import UserError


@dataclass(frozen=True)
class Subject:
    """What can be measured: what it says, its options, and the function from parsed options to a dictionary."""

    summary: str
    add_arguments: Callable
    measure: Callable


SUBJECTS = {
    "balancing": Subject(balancing.SUMMARY, balancing.add_arguments, balancing.measure),
    "coco": Subject(coco_dataset.SUMMARY, coco_dataset.add_arguments, coco_dataset.measure),
    "dataset": Subject(dataset.SUMMARY, dataset.add_arguments, dataset.measure),
    "detector": Subject(detector.SUMMARY, detector.add_arguments, detector.measure),
    "evaluation": Subject(evaluation.SUMMARY, evaluation.add_arguments, evaluation.measure),
    "multitask": Subject(multitask.SUMMARY, multitask.add_arguments, multitask.measure),
    "predict": Subject(predict.SUMMARY, predict.add_arguments, predict.measure),
}


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


def main(argv=None):
    """Measure one subject, print its table, write its file."""
    args = parse_arguments(argv)
    check_before_measuring(args)
    result = {"subject": args.subject, **SUBJECTS[args.subject].measure(args), **machine(args.device)}
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
