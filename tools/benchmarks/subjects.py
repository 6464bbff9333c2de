"""What can be measured, and the options of each subject, for a command line that is read before PyTorch is imported."""

import argparse
import os
from collections.abc import Callable
from dataclasses import dataclass

from maskrcnn_benchmark.utils.arguments import positive


@dataclass(frozen=True)
class Subject:
    """What can be measured: what it says, and the function that adds its options to a parser."""

    summary: str
    add_arguments: Callable


def _add_backbone_arguments(parser):
    """Options of the subject `backbone`."""
    default = "configs/detail/e2e_multitask_convnext_tiny_FPN_1x.yaml"
    parser.add_argument("--config-file", default=default, help="backbone, heads (default: %(default)s)")
    parser.add_argument("--size", type=positive, default=512, help="longer side of the images (default %(default)s)")
    parser.add_argument("--batch", type=positive, default=4, help="images of a training step (default %(default)s)")
    parser.add_argument("--batches", type=positive, default=2, help="different batches, taken in turn (default 2)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count what the processor works, not what passes: for a busy machine"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options after everything else: KEY VALUE ...")


def _add_balancing_arguments(parser):
    """Options of the subject `balancing`."""
    parser.add_argument("--config-file", default="configs/detail/mini_R_18_FPN.yaml", help="network, image size, batch")
    parser.add_argument(
        "--all-methods",
        action="store_true",
        help="every weighting, and every aggregation at features, or at parameters where it needs them",
    )
    parser.add_argument("--own-data", action="store_true", help="use DATASETS.TRAIN, not a new mini_detail")
    parser.add_argument("--batches", type=positive, default=4, help="different batches, taken in turn (default 4)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options after everything else: KEY VALUE ...")


def _add_coco_arguments(parser):
    """Options of the subject `coco`."""
    parser.add_argument("--annotations", metavar="FILE", help="measure this file (default: one is made)")
    parser.add_argument("--folder", metavar="DIR", help="make and keep everything here (default: a temporary folder)")
    parser.add_argument("--full-size", type=positive, default=118287, help="images of the made file (default 118287)")


def _add_dataset_arguments(parser):
    """Options of the subject `dataset`."""
    parser.add_argument("--annotations", metavar="FILE", help="measure this file (default: one is made)")
    parser.add_argument("--images", metavar="DIR", help="its images")
    parser.add_argument("--folder", metavar="DIR", help="make and keep everything here (default: a temporary folder)")
    parser.add_argument("--full-size", type=positive, default=10100, help="images of the made file (default 10100)")
    parser.add_argument(
        "--workers", type=positive, default=os.cpu_count() or 1, help="processes of the preparation (default: cores)"
    )
    parser.add_argument("--read", type=positive, default=2000, help="images that the worker reads (default 2000)")
    parser.add_argument("--samples", type=positive, default=12, help="images whose samples are timed (default 12)")
    parser.add_argument("--loaded", type=positive, default=400, help="images per loader (default 400)")


def _add_detector_arguments(parser):
    """Options of the subject `detector`."""
    parser.add_argument("--height", type=positive, default=800, help="of the images in pixels (default 800)")
    parser.add_argument("--width", type=positive, default=1088, help="of the images in pixels (default 1088)")
    parser.add_argument("--batch", type=positive, default=2, help="images of a training step (default 2)")
    parser.add_argument("--objects", type=positive, default=8, help="objects of an image (default 8)")
    parser.add_argument("--skip-memory", action="store_true", help="time only")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options of our config after everything else: KEY VALUE")


def _add_evaluation_arguments(parser):
    """Options of the subject `evaluation`."""
    parser.add_argument("--coco-images", type=positive, default=5000, help="images beside pycocotools (default 5000)")
    parser.add_argument(
        "--images", type=positive, default=5105, help="images of the whole evaluation (default %(default)s)"
    )
    parser.add_argument("--workers", type=positive, default=2, help="processes of the whole evaluation (default 2)")
    parser.set_defaults(rounds=1, warmup=1)


def _add_exchange_arguments(parser):
    """Options of the subject `exchange`."""
    parser.add_argument("--config-file", default="configs/detail/mini_R_18_FPN.yaml", help="network, image size, batch")
    parser.add_argument("--batches", type=positive, default=2, help="different batches, taken in turn (default 2)")
    parser.add_argument(
        "--cpu-time", action="store_true", help="count what the processor works, not what passes: for a busy machine"
    )
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options after everything else: KEY VALUE ...")


def _add_multitask_arguments(parser):
    """Options of the subject `multitask`."""
    parser.add_argument("--config-file", default="configs/detail/mini_R_18_FPN.yaml", help="backbone, heads, size")
    parser.add_argument("--weights", default="", metavar="FILE", help="checkpoint to start from (default: random)")
    parser.add_argument("--own-data", action="store_true", help="use DATASETS.TRAIN, not a new mini_detail")
    parser.add_argument("--batches", type=positive, default=4, help="different batches, taken in turn (default 4)")
    parser.add_argument("opts", nargs=argparse.REMAINDER, help="options after everything else: KEY VALUE ...")


def _add_predict_arguments(parser):
    """Options of the subject `predict`."""
    parser.add_argument(
        "--checkpoint", metavar="FILE", help="a trained network (default: --config-file's, untrained, all boxes kept)"
    )
    parser.add_argument("--config-file", default="configs/detail/mini_R_18_FPN.yaml", help="(default: %(default)s)")
    parser.add_argument("--image", metavar="FILE", help="a photograph (default: one of 500x375 is drawn)")
    parser.add_argument("--threads", type=positive, default=1, help="of PyTorch and OpenCV (default %(default)s)")
    parser.add_argument("--starts", type=positive, default=3, help="fresh processes to time (default %(default)s)")


SUBJECTS = {
    "backbone": Subject(
        "a backbone of timm, frozen beside trained, the average of weights, and rates layer by layer",
        _add_backbone_arguments,
    ),
    "balancing": Subject(
        "weightings and aggregations of eight tasks beside the plain sum of their losses",
        _add_balancing_arguments,
    ),
    "coco": Subject(
        "an annotation file of COCO's size: its first and every later opening, beside json.load",
        _add_coco_arguments,
    ),
    "dataset": Subject(
        "a data set of PASCAL in Detail's size: preparing, opening and sampling it, beside json.load",
        _add_dataset_arguments,
    ),
    "detector": Subject("Mask R-CNN R-50-FPN beside torchvision's", _add_detector_arguments),
    "evaluation": Subject(
        "the evaluation of all tasks: beside pycocotools, per image, and for all of PASCAL in Detail's val",
        _add_evaluation_arguments,
    ),
    "exchange": Subject("task exchanges of heads per image beside none", _add_exchange_arguments),
    "multitask": Subject(
        "the eight-task network beside Mask R-CNN and eight single-task networks", _add_multitask_arguments
    ),
    "predict": Subject(
        "Predictor on a photograph beside the bare forward pass; drawing; the first answer of a fresh process",
        _add_predict_arguments,
    ),
}
