"""Options beyond their range: refused before anything is made, naming the option."""

from fuzzing import ODD_NUMBERS

from faults.mutations.attempt import Attempt, mutation_class
from faults.workplace import MINI

# Values that no training can mean: taking them silently is a failure, too
NONSENSE = (
    *(("SOLVER.LOG_PERIOD", value) for value in (0, -3)),
    *(("SOLVER.BASE_LR", value) for value in ("nan", "-0.1", "inf")),
    *(("DATALOADER.NUM_WORKERS", value) for value in (-1, -(2**31))),
    *(("SOLVER.SEED", value) for value in (2**70,)),
    *(("INPUT.MIN_SIZE_TRAIN", value) for value in ("()", "(-5,)", "(0,)")),
    *(("INPUT.MAX_SIZE_TRAIN", value) for value in (0, -1)),
    ("DATASETS.TRAIN", "(1,)"),
    ("DATASETS.TRAIN", "(None,)"),
    *(("SOLVER.MAX_ITER", value) for value in (-5,)),
    *(("SOLVER.WEIGHT_DECAY", value) for value in (-1, "nan")),
    *(("SOLVER.CLIP_GRADIENT_NORM", value) for value in ("nan", -1)),
    *(("SOLVER.GAMMA", value) for value in ("nan", -1)),
    *(("SOLVER.MOMENTUM", value) for value in ("nan", -1)),
    *(("SOLVER.WARMUP_ITERS", value) for value in (-1,)),
    *(("SOLVER.IMS_PER_BATCH", value) for value in (0, -2)),
    *(("SOLVER.CHECKPOINT_PERIOD", value) for value in (-1,)),
    *(("SOLVER.ACCUMULATE_STEPS", value) for value in (0, -1)),
    ("MODEL.RPN.NMS_THRESH", -1),
    ("MODEL.RPN.NMS_THRESH", "nan"),
    *(("MODEL.RPN.POSITIVE_FRACTION", value) for value in (2, -1, "nan")),
    *(("MODEL.ROI_HEADS.POSITIVE_FRACTION", value) for value in (2, -1)),
    *(("MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", value) for value in (0, -1)),
    *(("MODEL.BACKBONE.FREEZE_CONV_BODY_AT", value) for value in (99, -3)),
    ("MULTITASK.LOSS_WEIGHTS.SEMANTIC", -4),
    ("MULTITASK.LOSS_WEIGHTS.BOUNDARY", "nan"),
    ("MODEL.RPN.ANCHOR_SIZES", "(0, 24, 48, 80, 128)"),
    ("MODEL.RPN.ANCHOR_SIZES", "(-12, 24, 48, 80, 128)"),
    ("MODEL.RPN.ASPECT_RATIOS", "(0.0, 1.0)"),
    ("INPUT.PIXEL_STD", "[0.0, 57.1, 58.4]"),
    ("DATALOADER.SIZE_DIVISIBILITY", -32),
    ("TEST.IMS_PER_BATCH", 0),
)
_ODD = {
    bool: ("maybe", 2, "None", "nan", "()"),
    int: ("nan", "inf", "1.5", "x", "()", "None", *ODD_NUMBERS),
    float: ("nan", "inf", "-inf", "x", "()", "None", "1e400", *ODD_NUMBERS),
    str: ("", "\0", "x" * 5000, "é\u202e", "../..", "{[1]}", "None", "1", "()"),
    tuple: ("()", "(None,)", "(nan,)", "(-1,)", "(0,)", "(1e400,)", "('',)", "((1,),)", "x", "1", "(" * 300),
    list: ("[]", "[None]", "[-1]", "[0]", "['x']", "[[1]]", "x", "1"),
}
# What a value may lead to elsewhere is no business of a training with one process on the CPU
_ELSEWHERE = ("OUTPUT_DIR", "DATASETS.DATA_DIR", "PATHS_CATALOG", "MODEL.COMPILE")


def option(case):
    """One option with an odd value, and a training of one step where it is taken."""
    from maskrcnn_benchmark.config import cfg as default_cfg
    from maskrcnn_benchmark.experiments.run import train

    cfg = default_cfg.clone()
    cfg.merge_from_file(str(MINI))
    sound = case.workplace.options(case.out, "SOLVER.MAX_ITER", 1)
    is_nonsense = case.random.random() < 0.35
    if is_nonsense:
        key, value = case.random.choice(NONSENSE)
    else:
        keys = [key for key in default_cfg.keys_of_options() if key not in _ELSEWHERE]
        key = case.random.choice(keys)
        value = case.random.choice(_ODD.get(type(default_cfg.value_of(key)), ("x",)))
    # the library's own numbers, for ast knows no nan
    value = {"nan": float("nan"), "inf": float("inf"), "-inf": float("-inf")}.get(value, value)

    def door():
        cfg.merge_from_list([*sound, key, value])
        train(cfg, skip_test=True)
        return [f"{key} {value} is silently taken"] if is_nonsense else []

    return Attempt(f"{key} {str(value)[:60]!r}", door, (key, key.rsplit(".", 1)[-1]))


CLASSES = [mutation_class("options", 250, option, seconds=60.0, together=False)]
