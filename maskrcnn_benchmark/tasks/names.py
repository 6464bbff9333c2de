"""What command lines say of the tasks before these are imported, which takes seconds."""

import re
import sys
from pathlib import Path
from typing import NamedTuple


class FileOption(NamedTuple):
    """What `tools/evaluate.py` asks of a `prediction_files.layout.PredictionFile`."""

    key: str
    option: str
    metavar: str
    text: str


# Of the package's own; a test holds them to what the tasks say
OWN_FILES = (
    FileOption("detection", "--bbox", "FILE", "boxes, as COCO's results"),
    FileOption("instance", "--segm", "FILE", "masks, as COCO's results"),
    FileOption("keypoint", "--keypoints", "FILE", 'keypoints, as COCO\'s results or {"pred": [...]}'),
    FileOption("parts", "--parts-file", "FILE", "parts by object, as parts.json of tools/test_net.py"),
    FileOption(
        "classification", "--classification", "FILE", 'image labels: {"pred": [{"image_id", "category_score"}]}'
    ),
    FileOption(
        "panoptic",
        "--panoptic",
        "FILE_OR_DIR",
        "segments in COCO's panoptic format, the JSON file or the folder of its PNGs",
    ),
    FileOption(
        "occlusion_order",
        "--occlusion-order",
        "FILE",
        'objects with masks, and which are in front of which: [{"image_id", "objects", "order"}]',
    ),
    FileOption("part", "--part", "DIR", "a PNG per image: part label, 0 none"),
    FileOption("semantic", "--semantic", "DIR", "a PNG per image: 1 + class, see classes.json"),
    FileOption("boundary", "--boundary", "DIR", "a grey PNG per image: strength"),
    FileOption("occlusion", "--occlusion", "DIR", "a grey PNG per image: strength; directions in DIR_direction"),
    FileOption("saliency", "--saliency", "DIR", "a grey PNG per image: saliency"),
    FileOption("normals", "--normals", "DIR", "an RGB PNG per image: 255 (n + 1) / 2"),
    FileOption("depth", "--depth", "DIR", "a PNG of 16 bits per image: depth in millimetres"),
    FileOption(
        "part_panoptic",
        "--part-panoptic",
        "DIR",
        "a TIFF per image as of PASCAL Panoptic Parts: class, object and part, see classes.json",
    ),
)


def task_keys() -> list[str]:
    """Keys of the tasks that are registered; those of the package's own as long as nothing has imported any."""
    registry = _registry()
    if registry is not None:
        return list(registry.TASKS)
    # each is in the file of its key
    text = Path(__file__).with_name("own.py").read_text(encoding="utf-8")
    return re.findall(r"^from maskrcnn_benchmark\.tasks import (\w+)$", text, re.MULTILINE)


def file_options() -> list[FileOption]:
    """The options for files of predictions, of the tasks of `task_keys`."""
    registry = _registry()
    if registry is None:
        return list(OWN_FILES)
    from maskrcnn_benchmark.prediction_files.layout import files_of

    return [FileOption(f.key, f.option, f.metavar, f.text) for f in files_of(registry.TASKS.values())]


def _registry():
    return sys.modules.get("maskrcnn_benchmark.tasks.task")
