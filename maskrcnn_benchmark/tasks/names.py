"""What command lines say of the tasks before these are imported, which takes seconds."""

import sys
from typing import NamedTuple

# The package's own, in the order of `own`; a test holds both lists
OWN = ("detection", "instance", "keypoint", "part", "semantic", "boundary", "occlusion", "classification")


class FileOption(NamedTuple):
    """What `tools/evaluate.py` asks of a `prediction_files.layout.PredictionFile`."""

    key: str
    option: str
    metavar: str
    text: str


OWN_FILES = (
    FileOption("detection", "--bbox", "FILE", "boxes, as COCO's results"),
    FileOption("instance", "--segm", "FILE", "masks, as COCO's results"),
    FileOption("keypoint", "--keypoints", "FILE", 'keypoints, as COCO\'s results or {"pred": [...]}'),
    FileOption("parts", "--parts-file", "FILE", "parts by object, as parts.json of tools/test_net.py"),
    FileOption(
        "classification", "--classification", "FILE", 'image labels: {"pred": [{"image_id", "category_score"}]}'
    ),
    FileOption("part", "--part", "DIR", "a PNG per image: part label, 0 none"),
    FileOption("semantic", "--semantic", "DIR", "a PNG per image: 1 + class, see classes.json"),
    FileOption("boundary", "--boundary", "DIR", "a grey PNG per image: strength"),
    FileOption("occlusion", "--occlusion", "DIR", "a grey PNG per image: strength; directions in DIR_direction"),
)


def task_keys() -> list[str]:
    """Keys of the tasks that are registered; those of the package's own as long as nothing has imported any."""
    registry = _registry()
    return list(OWN if registry is None else registry.TASKS)


def file_options() -> list[FileOption]:
    """The options for files of predictions, of the tasks of `task_keys`."""
    registry = _registry()
    if registry is None:
        return list(OWN_FILES)
    from maskrcnn_benchmark.prediction_files.layout import files_of

    return [FileOption(f.key, f.option, f.metavar, f.text) for f in files_of(registry.TASKS.values())]


def _registry():
    return sys.modules.get("maskrcnn_benchmark.tasks.task")
