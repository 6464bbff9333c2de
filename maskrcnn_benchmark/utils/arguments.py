"""Words of a command line: numbers with their ranges, KEY VALUE and KEY=VALUE, and what other tools call ours."""

import argparse
import re
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from maskrcnn_benchmark.utils.ranges import Integer, Number, shown


def in_range(of: Number) -> Callable[[str], int | float]:
    """The type of an argument that takes a number of a range, an integer where the range is one of integers.

    `in_range(Integer(0, 512))("-1")` raises `argparse.ArgumentTypeError`, "'-1' is not an integer from 0 to 512".
    """
    read = int if isinstance(of, Integer) else float

    def parse(text: str) -> Any:
        try:
            value = read(text)
        except ValueError:  # no number, or one of more digits than Python reads
            value = None
        if not of.holds(value):
            raise argparse.ArgumentTypeError(f"{shown(text)} is not {of.words}")
        return value

    return parse


natural = in_range(Integer(0, 10**9))
positive = in_range(Integer(1, 10**9))
seed = in_range(Integer(0, 2**32 - 1))
# Processes that help, where 0 has the main process work alone, and processes side by side
workers = in_range(Integer(0, 512))
jobs = in_range(Integer(1, 512))


# KEY=VALUE in one word
_JOINED = re.compile(r"([A-Za-z][\w.]*)=(.*)", re.DOTALL)

# What detectron2, mmdetection, ultralytics and others call it -> ours, the first that a tool has: one of its flags or
# arguments, an option of the config, or words
_ITSELF = "nothing: the same command goes on from OUTPUT_DIR's last checkpoint by itself"
_TEST = "tools/test_net.py without it, which scores every task that is on"
_TORCHRUN = "torchrun --nproc_per_node=N tools/..., which starts N processes"
_WEIGHTS = ("--ckpt", "CHECKPOINT", "MODEL.WEIGHT")
_BATCH = ("--batch-size", "SOLVER.IMS_PER_BATCH N for training, TEST.IMS_PER_BATCH N for testing")
_SIZE = ("INPUT.MIN_SIZE_TRAIN N for training, INPUT.MIN_SIZE_TEST N for testing",)
_OUTPUT = ("--output", "--out", "OUTPUT_DIR")
_SCORE = ("--threshold", "MODEL.ROI_HEADS.SCORE_THRESH")
_ITERATIONS = ("SOLVER.MAX_ITER",)
_EPOCHS = ("SOLVER.MAX_EPOCHS",)
_SOURCES = ("SOURCE", "--images")
_DATA = ("--dataset", "--annotations", "DATASETS.TRAIN")
OTHER_NAMES: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("c", "config", "cfg", "conf-file", "yaml"), ("--config-file",)),
    **dict.fromkeys(("weights", "weight", "w", "model", "checkpoint", "ckpt", "load-from", "pretrained"), _WEIGHTS),
    **dict.fromkeys(("batch-size", "batch", "bs", "b", "samples-per-gpu", "ims-per-batch"), _BATCH),
    **dict.fromkeys(("lr", "lr0", "learning-rate", "base-lr"), ("SOLVER.BASE_LR",)),
    **dict.fromkeys(("epochs", "epoch", "max-epochs", "num-epochs"), _EPOCHS),
    **dict.fromkeys(("max-iter", "max-iters", "iterations", "iters"), _ITERATIONS),
    "patience": ("SOLVER.BEST.PATIENCE",),
    **dict.fromkeys(("ema", "ema-decay", "model-ema", "model-ema-decay"), ("SOLVER.EMA_DECAY",)),
    "momentum": ("SOLVER.MOMENTUM",),
    **dict.fromkeys(("weight-decay", "wd"), ("SOLVER.WEIGHT_DECAY",)),
    **dict.fromkeys(("optimizer", "optim", "opt"), ("SOLVER.OPTIMIZER",)),
    **dict.fromkeys(("amp", "fp16", "half", "bf16", "mixed-precision"), ("DTYPE",)),
    **dict.fromkeys(("seed", "random-seed"), ("SOLVER.SEED",)),
    **dict.fromkeys(("device", "gpu", "gpu-id", "cuda", "use-cuda"), ("--device", "MODEL.DEVICE")),
    **dict.fromkeys(("num-gpus", "gpus", "ngpus", "gpu-ids", "num-machines", "dist-url", "launcher"), (_TORCHRUN,)),
    **dict.fromkeys(("resume", "resume-from", "auto-resume", "r"), (_ITSELF,)),
    **dict.fromkeys(("eval-only", "eval", "evaluate", "test-only", "val"), (_TEST,)),
    **dict.fromkeys(("no-validate", "no-eval", "noval", "notest"), ("--skip-test",)),
    **dict.fromkeys(("work-dir", "output-dir", "output", "out", "out-dir", "save-dir", "project", "logdir"), _OUTPUT),
    **dict.fromkeys(("opts", "cfg-options", "options", "set"), ("KEY VALUE ... at the end, without a flag",)),
    **dict.fromkeys(("data", "dataset", "datasets", "data-path"), _DATA),
    **dict.fromkeys(("data-dir", "data-root", "root"), ("--data-dir", "DATASETS.DATA_DIR")),
    **dict.fromkeys(("imgsz", "img-size", "image-size", "img"), _SIZE),
    **dict.fromkeys(("workers", "num-workers", "j"), ("--workers", "DATALOADER.NUM_WORKERS")),
    **dict.fromkeys(("source", "input", "image", "images", "video", "video-input"), _SOURCES),
    **dict.fromkeys(("conf", "conf-thres", "score-thr", "confidence-threshold", "score-threshold"), _SCORE),
    **dict.fromkeys(("iou", "iou-thres", "nms"), ("MODEL.ROI_HEADS.NMS",)),
}
# Of those, arguments without a flag
ARGUMENTS = ("CHECKPOINT", "SOURCE")


def name_of_ours(name: str, has: Callable[[str], bool]) -> str | None:
    """What this library has in place of another's flag or option, such as "--lr" or "epochs"; None where unknown.

    Args:
        name: with or without dashes before it.
        has: whether a flag, an argument or an option of the config can be given; words that are none always can.
    """
    key = name.lstrip("-").lower().replace("_", "-")
    ours = OTHER_NAMES.get(key.rpartition(".")[2] or key, ())
    return next((each for each in ours if " " in each or has(each)), None)


def option_words(words: Iterable[Any]) -> list[Any]:
    """[KEY, VALUE, KEY, VALUE, ...] of what was typed, where KEY=VALUE in one word stands for two."""
    pairs: list[Any] = []
    for word in words:
        joined = _JOINED.fullmatch(word) if isinstance(word, str) and len(pairs) % 2 == 0 else None
        pairs += joined.groups() if joined else [word]
    return pairs


class OptionWords(argparse.Action):
    """Stores the options of a command line as `option_words` reads them; an argument that is called KEY VALUE."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        setattr(namespace, self.dest, option_words(values or []))
