"""What a config that came along with weights may say: the one list of its options that are taken, and their bounds.

Such a config is a stranger's, whoever handed the checkpoint on. It describes the network, the size and the colours of
its images, how its predictions are chosen and scored, and what its data sets are called. Folders, files, devices,
processes and everything of the training are the user's alone. On top of the range that every option has, bounds and
`DEMANDS` keep what one image may cost within what published networks need several times over.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from maskrcnn_benchmark.config.node import ConfigNode
from maskrcnn_benchmark.modeling.backbone import promised_strides
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import TASKS, enabled_tasks, region_heads
from maskrcnn_benchmark.utils.errors import UserError
from maskrcnn_benchmark.utils.ranges import Integer, Number, Range, Sequence, Text, shown
from maskrcnn_benchmark.utils.text import printable

logger = logging.getLogger(__name__)

# Options, and groups of them with a dot at their end
TAKEN = (
    "MODEL.",
    "INPUT.MIN_SIZE_TEST",
    "INPUT.MAX_SIZE_TEST",
    "INPUT.SQUASH",
    "INPUT.CROP",
    "INPUT.PIXEL_MEAN",
    "INPUT.PIXEL_STD",
    "INPUT.TO_BGR255",
    "INPUT.EXIF",
    "DATALOADER.SIZE_DIVISIBILITY",
    "DATASETS.TRAIN",
    "DATASETS.TEST",
    "DATASETS.VOCABULARY",
    "DATASETS.CLASSES",
    "DATASETS.PARTS",
    "DATASETS.PROTOCOL",
    "TEST.EMA",
    "TEST.DTYPE",
    "TEST.TF32",
    "TEST.DETECTIONS_PER_IMG",
    "TEST.BBOX_AUG.",
    "TEST.DENSE_AUG.",
    "TEST.DETECTION_PROTOCOL",
    "TEST.CLASS_MEAN",
    "TEST.EDGE_THRESHOLDS",
    "TEST.EDGE_MAX_DISTANCE",
    "TEST.EDGE_NMS",
    "TEST.EDGE_CONVENTIONS",
    "TEST.BOUNDARY_PROTOCOL",
)
# Of those, what is of the machine: a path or an address, a device, a compiler that is run
NOT_TAKEN = ("MODEL.WEIGHT", "MODEL.DEVICE", "MODEL.COMPILE")
# Dropped options that change what a test does are named first
_TELLING = ("DATASETS.DATA_DIR", "TEST.", "PATHS_CATALOG")
_NAMED = 4
_TRUSTED = "or a config that you trust with --config-file FILE"

_DATA_SET = Text(100, pattern=r"[^\W_][\w.-]*", what="the name of a data set: letters, digits, _ . -")
_DATA_SET_OR_NONE = Text(100, empty=True, pattern=_DATA_SET.pattern, what=_DATA_SET.what)
_DATA_SETS = Sequence(_DATA_SET, 0, 16)
_REGIONS = Integer(1, 20_000)
_DETECTIONS = Integer(0, 1000)
_SIDE = Integer(1, 4096)
# Of an option that has neither a bound here nor a range of its own, such as one of a user's own task
_MOST = 2**16

BOUNDS: dict[str, Range] = {
    "INPUT.MIN_SIZE_TEST": _SIDE,
    "INPUT.MAX_SIZE_TEST": _SIDE,
    "DATALOADER.SIZE_DIVISIBILITY": Integer(0, 512),
    "INPUT.SQUASH": Sequence(_SIDE, 0, 2),
    "INPUT.CROP": Sequence(_SIDE, 0, 2),
    "DATASETS.TRAIN": _DATA_SETS,
    "DATASETS.TEST": _DATA_SETS,
    "DATASETS.VOCABULARY": _DATA_SET_OR_NONE,
    "TEST.DETECTIONS_PER_IMG": _DETECTIONS,
    "TEST.BBOX_AUG.SCALES": Sequence(_SIDE, 0, 12),
    "TEST.BBOX_AUG.MAX_SIZE": _SIDE,
    "TEST.EDGE_MAX_DISTANCE": Number(0, 0.1),
    "MODEL.RPN.PRE_NMS_TOP_N_TEST": _REGIONS,
    "MODEL.RPN.POST_NMS_TOP_N_TEST": _REGIONS,
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST": _REGIONS,
    "MODEL.RETINANET.PRE_NMS_TOP_N": _REGIONS,
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG": _DETECTIONS,
    "MODEL.TASK_EXCHANGE.GRID": Integer(1, 24),
    "MODEL.TASK_EXCHANGE.LAYERS": Integer(1, 12),
    "MODEL.TASK_EXCHANGE.HEADS": Integer(1, 16),
}
# Of options of any head, by the last part of their names
BOUNDS_OF_HEADS = {"POOLER_SAMPLING_RATIO": Integer(0, 8), "RESOLUTION": Integer(1, 256)}


def bound_of(key: str) -> Range | None:
    """What an option may be in a config that comes along with weights, on top of its range; None for just that."""
    own = {option: bound for task in TASKS.values() for option, bound in task.bounds().items()}
    return BOUNDS.get(key) or own.get(key) or BOUNDS_OF_HEADS.get(key.rpartition(".")[2])


@dataclass(frozen=True)
class Demand:
    """What one image of the largest size may cost.

    Attributes:
        what: of what it is, for messages.
        options: those that decide on it, for messages.
        of: function cfg -> the amount.
        most: the greatest.
        unit: what the amount counts; it is shown divided by `scale`.
    """

    what: str
    options: tuple[str, ...]
    of: Callable[[ConfigNode], float]
    most: float
    unit: str = "GiB"
    scale: float = 2.0**30


def _pixels(cfg):
    """Pixels of the largest image that the network may see."""
    sizes = [(cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)]
    if cfg.INPUT.SQUASH:
        sizes = [tuple(cfg.INPUT.SQUASH)]
    if cfg.TEST.BBOX_AUG.ENABLED:
        sizes += [(scale, cfg.TEST.BBOX_AUG.MAX_SIZE) for scale in cfg.TEST.BBOX_AUG.SCALES]
    if cfg.TEST.DENSE_AUG.ENABLED:
        short, long = sizes[0]
        sizes += [(round(scale * short), round(scale * long)) for scale in cfg.TEST.DENSE_AUG.SCALES]
    step = max(1, cfg.DATALOADER.SIZE_DIVISIBILITY)
    return max((min(short, long) + step) * (long + step) for short, long in sizes)


def _feature_bytes(cfg):
    """Of feature maps that are there at the same time, roughly: channels over the square of their stride."""
    model = cfg.MODEL
    channels = model.RESNETS.STEM_OUT_CHANNELS / 4 + 3 * model.RESNETS.RES2_OUT_CHANNELS / 16
    strides = promised_strides(model.BACKBONE.CONV_BODY) or (4,)
    channels += model.RESNETS.BACKBONE_OUT_CHANNELS / strides[0] ** 2
    reads = [task.dense_features(cfg) for task in enabled_tasks(cfg)]
    read = set().union(*reads)
    if read & {"dense", "fine"}:
        channels += 2 * model.DENSE_TRUNK.CHANNELS / 16
    if model.TASK_EXCHANGE.NAME != "none":  # of each reader its own features, a message and what it reads at last
        readers = sum(bool(each & {"dense", "fine"}) for each in reads)
        channels += readers * (4 * model.TASK_EXCHANGE.CHANNELS + model.DENSE_TRUNK.CHANNELS) / 16
    if "fine" in read:
        edges = model.EDGE_DECODER
        channels += (edges.CHANNELS + edges.STEM_CHANNELS) / edges.STRIDE**2
    return 4 * channels * _pixels(cfg)


def _class_map_bytes(cfg):
    """Of maps with a plane for each class, at a quarter of the image's size."""
    planes = sum(task.planes(cfg) for task in enabled_tasks(cfg) if task.dense_features(cfg))
    return 4 * planes * _pixels(cfg) / 16


def _anchor_bytes(cfg):
    """Of boxes and scores of all anchors."""
    rpn, retina = cfg.MODEL.RPN, cfg.MODEL.RETINANET
    if cfg.MODEL.RETINANET_ON:
        count = retina.SCALES_PER_OCTAVE * len(retina.ASPECT_RATIOS)
        return 4 * count * (retina.NUM_CLASSES + 8) * _pixels(cfg) / 64 * 4 / 3
    count = len(rpn.ASPECT_RATIOS) * (1 if rpn.USE_FPN else len(rpn.ANCHOR_SIZES))
    return 4 * count * 13 * _pixels(cfg) / (16 if rpn.USE_FPN else 256)


def _regions(cfg):
    rpn = cfg.MODEL.RPN
    return rpn.FPN_POST_NMS_TOP_N_TEST if rpn.USE_FPN else rpn.POST_NMS_TOP_N_TEST


def _region_heads(cfg):
    """[(number of regions, the options of the head, planes of its map)] of the heads that are turned on.

    A head that needs no other task to be on reads the proposals, the others read detections.
    """
    detections = cfg.MODEL.ROI_HEADS.DETECTIONS_PER_IMG
    return [
        (detections if task.requirements(cfg) else _regions(cfg), group, task.planes(cfg))
        for task, group in region_heads(cfg)
    ]


def _pooled_bytes(cfg):
    """Of the features that are pooled from all regions of the greediest head."""
    channels = cfg.MODEL.RESNETS.BACKBONE_OUT_CHANNELS
    return max((4 * channels * count * head.POOLER_RESOLUTION**2 for count, head, _ in _region_heads(cfg)), default=0)


def _pooling_samples(cfg):
    """Points that are read in each channel for all regions of the greediest head, in each stage of a cascade."""
    return max(
        (
            _stages(head) * count * (head.POOLER_RESOLUTION * max(1, head.POOLER_SAMPLING_RATIO)) ** 2
            for count, head, _ in _region_heads(cfg)
        ),
        default=0,
    )


def _stages(head):
    return len(head.CASCADE.IOUS) if "CASCADE" in head and head.CASCADE.ENABLED else 1


def _region_map_bytes(cfg):
    """Of the maps of all regions of the greediest head."""
    heads = [(n * planes, head.get("RESOLUTION", 2 * head.POOLER_RESOLUTION)) for n, head, planes in _region_heads(cfg)]
    return max((4 * planes * side**2 for planes, side in heads), default=0)


_SIZES = (
    *("INPUT.MIN_SIZE_TEST", "INPUT.MAX_SIZE_TEST", "DATALOADER.SIZE_DIVISIBILITY"),
    *("TEST.BBOX_AUG", "TEST.DENSE_AUG"),
)
_POOLERS = (
    "MODEL.RPN.POST_NMS_TOP_N_TEST",
    "MODEL.RPN.FPN_POST_NMS_TOP_N_TEST",
    "MODEL.ROI_HEADS.DETECTIONS_PER_IMG",
    "POOLER_RESOLUTION of its heads",
)
# A Mask R-CNN with R-50-FPN at 800 x 1333 pixels needs 0.4 GiB of feature maps, 0.1 of pooled features (with C4 0.8),
# 0.03 of masks and 0.4 million samples
DEMANDS = (
    Demand(
        "feature maps",
        (*_SIZES, "MODEL.RESNETS", "MODEL.DENSE_TRUNK", "MODEL.EDGE_DECODER", "MODEL.TASK_EXCHANGE"),
        _feature_bytes,
        2.0**31,
    ),
    Demand("class maps", (*_SIZES, "NUM_CLASSES of its heads"), _class_map_bytes, 2.0**30),
    Demand("anchors", (*_SIZES, "MODEL.RPN", "MODEL.RETINANET"), _anchor_bytes, 2.0**30),
    Demand("pooled features", (*_POOLERS, "MODEL.RESNETS.BACKBONE_OUT_CHANNELS"), _pooled_bytes, 2.0**31),
    Demand("pooling", (*_POOLERS, "POOLER_SAMPLING_RATIO"), _pooling_samples, 8e6, "million samples", 1e6),
    Demand(
        "masks and maps of regions",
        ("MODEL.ROI_HEADS.DETECTIONS_PER_IMG", "RESOLUTION and NUM_CLASSES of its heads"),
        _region_map_bytes,
        2.0**30,
    ),
)


def take_options(
    cfg: ConfigNode, tree: dict, source: str, given: Collection[str] = (), vocabulary: Vocabulary | None = None
) -> None:
    """Merge into `cfg` what a config that came along with weights may say, and tell what was left.

    Args:
        cfg: the config to change.
        tree: what its yaml holds.
        source: what it is called in messages.
        given: options that the user gives, which are not asked of the tree.
        vocabulary: the names that came along as well, which decide on the numbers of classes.

    Raises:
        UserError: an option is unknown, or its value is out of its range or its bound.
    """
    taken, left = dict[str, Any](), dict[str, Any]()
    for path, value in _leaves(tree):
        key = ".".join(path)
        if key in given:
            continue
        if not is_taken(key):
            left[key] = value
            continue
        node = taken
        for group in path[:-1]:
            node = node.setdefault(group, {})
        node[path[-1]] = value
    _tell_left(cfg, left, source)
    try:
        cfg.merge_from_tree(taken, source)
    except UserError as error:
        raise UserError(f"{error}; or give another with KEY VALUE, {_TRUSTED}") from None
    _check_bounds(cfg if vocabulary is None else _with_names(cfg, vocabulary), source)


def check_names(vocabulary: Vocabulary, source: str) -> None:
    """Raise `UserError` for names that came along with weights and are more than their bounds have for classes."""
    for key, count in _counts(vocabulary).items():
        bound = bound_of(key)
        if count and bound is not None and not bound.holds(count):
            raise UserError(
                f"{source}: its names make {count} of {key}, which {bound.problem(count)} where names come along "
                "with weights; take another file"
            )


def _counts(vocabulary):
    """{option: number of classes, background included where the option counts it, or 0 without any}."""
    return {each.option: each.count for task in TASKS.values() for each in task.class_counts(vocabulary)}


def _with_names(cfg, vocabulary):
    """A copy of the config with the numbers of classes of a vocabulary."""
    cfg = cfg.clone()
    for key, count in _counts(vocabulary).items():
        if count:
            group, name = key.split(".")[1:]
            cfg.MODEL[group][name] = count
    return cfg


def is_taken(key: str) -> bool:
    """Whether an option of a config that came along with weights is taken."""
    if any(_belongs(key, other) for other in NOT_TAKEN):
        return False
    return any(key == entry or (entry.endswith(".") and key.startswith(entry)) for entry in TAKEN)


def _belongs(key, option):
    return key == option or key.startswith(f"{option}.")


def _leaves(tree, path=()):
    """((group, ..., option), value) of nested dictionaries, to the depth that options have."""
    for name, value in tree.items():
        here = (*path, printable(str(name), 100))
        if isinstance(value, dict) and len(here) < 8:
            yield from _leaves(value, here)
        else:
            yield here, value


def _tell_left(cfg, left, source):
    """Say in one line which options were left, of those that are not what they are here anyway."""
    known = set(cfg.keys_of_options())
    differing = [key for key, value in left.items() if key not in known or _plain(cfg.value_of(key)) != _plain(value)]
    if not differing:
        return
    differing.sort(key=lambda key: not key.startswith(_TELLING))  # stable
    named = ", ".join(f"{key} {shown(left[key])}" for key in differing[:_NAMED])
    more = ", ..." if len(differing) > _NAMED else ""
    logger.info(
        "%s: %d of its options are of its training or its machine and are not taken (%s%s); give those that you want "
        "with KEY VALUE",
        source,
        len(differing),
        named,
        more,
    )


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def _check_bounds(cfg, source):
    for key in cfg.keys_of_options():
        if not is_taken(key):
            continue
        value, bound = cfg.value_of(key), bound_of(key)
        problem = bound.problem(value) if bound is not None else None
        if bound is None and cfg.record_of(key) is None and isinstance(value, int | float) and not abs(value) <= _MOST:
            problem = f"must be a number of at most {_MOST}"
        if problem is not None:
            raise UserError(
                f"{source}: {key} is {shown(value)}, but in a config that comes along with weights it {problem}; give "
                f"another with {key} VALUE, {_TRUSTED}"
            )
    for demand in DEMANDS:
        amount = demand.of(cfg)
        if amount > demand.most:
            raise UserError(
                f"{source}: its options ask for {amount / demand.scale:,.1f} {demand.unit} of {demand.what} for one "
                f"image, and those that come along with weights may ask for {demand.most / demand.scale:,.0f} "
                f"({', '.join(demand.options)}); give smaller values with KEY VALUE, {_TRUSTED}"
            )
