"""The vocabularies of public data sets by the names that configs use, for networks whose data is not at hand."""

from maskrcnn_benchmark.data.cityscapes_labels import SEMANTIC, instance_classes
from maskrcnn_benchmark.data.datasets.voc import PascalVOCDataset
from maskrcnn_benchmark.structures.keypoint import COCO_JOINTS
from maskrcnn_benchmark.structures.vocabulary import Vocabulary

# The 80 classes of COCO's objects in the order of their category ids (Lin et al. 2014)
COCO_CLASSES = (
    *("person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light"),
    *("fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow"),
    *("elephant", "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee"),
    *("skis", "snowboard", "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard"),
    *("tennis racket", "bottle", "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple"),
    *("sandwich", "orange", "broccoli", "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch"),
    *("potted plant", "bed", "dining table", "toilet", "tv", "laptop", "mouse", "remote", "keyboard", "cell phone"),
    *("microwave", "oven", "toaster", "sink", "refrigerator", "book", "clock", "vase", "scissors", "teddy bear"),
    *("hair drier", "toothbrush"),
)


def known_vocabulary(name: str) -> Vocabulary | None:
    """The `Vocabulary` of a data set of COCO, PASCAL VOC or Cityscapes by its name in the catalog; None for others."""
    if name.startswith("keypoints_coco_"):
        return Vocabulary(("person",), joints=COCO_JOINTS)
    if name.startswith("coco_"):
        return Vocabulary(COCO_CLASSES)
    if name.startswith("voc_"):
        things: tuple[str, ...] = PascalVOCDataset.CLASSES[1:]
        return Vocabulary(things, () if name.endswith("_cocostyle") else ("background", *things))
    if name.startswith("cityscapes_"):
        things = tuple(instance_classes(evaluated_only=True).values())
        return Vocabulary(things, () if name.endswith("_cocostyle") else tuple(label for _, label in SEMANTIC))
    return None
