"""Human keypoints: the joints of every person."""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CHANNELS, CLASSES, FLAG, NAME, REGION_HEADS, WIDTHS, region_pooling
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Integer, Range
import torch

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.datasets.coco import SWAPPED_VISIBILITY, COCOImage
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.keypoint import (
    COCO_JOINTS,
    DETAIL_JOINTS,
    DetailKeypoints,
    Keypoints,
    PersonKeypoints,
)
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.errors import UserError


class DetailKeypointReader(LabelReader):
    """Joint records of PASCAL in Detail: `BoxList` with labels (all 1) and keypoints.

    An image is annotated if it has a record, or no person who could have one.
    """

    def read(self, image: DetailImage) -> BoxList | None:
        if not self.has(image):
            return None
        file, records = image.dataset.file, image.section("annos_joints")
        width = 3 * len(DETAIL_JOINTS.names)
        joints = [file.field(record, "keypoints", "joint") for record in records]
        for record, numbers in zip(records, joints):
            if len(numbers) != width:
                name = file.name_of(record, "joint")
                raise UserError(f"{name} has {len(numbers)} numbers in 'keypoints', not {width}")
        joints = torch.tensor(joints, dtype=torch.float32).reshape(-1, width // 3, 3)
        boxes = torch.tensor([file.field(r, "bbox", "joint") for r in records], dtype=torch.float32).reshape(-1, 4)
        persons = BoxList(boxes, image.size, mode="xywh").convert("xyxy")
        persons.add_field("labels", torch.ones(len(records), dtype=torch.int64))
        persons.add_field("keypoints", DetailKeypoints(joints, image.size))
        return image.kept(persons)

    def has(self, image: DetailImage) -> bool:
        return image.counts["joints"] > 0 or image.counts["people"] == 0

    def teaches(self, image: DetailImage) -> bool:
        return image.counts["joints"] > 0  # where nobody is there, no joint can be learnt


class COCOKeypointReader(LabelReader):
    """The records of a file in COCO's layout that have keypoints: `BoxList` with labels (all 1) and keypoints."""

    def read(self, image: COCOImage) -> BoxList | None:
        if not self.has(image):
            return None
        records = [record for record in image.records if record.get("keypoints") is not None]
        joints = image.dataset.file.joints
        persons = image.boxes_of(records)
        persons.add_field("labels", torch.ones(len(records), dtype=torch.int64))
        keypoints = torch.tensor([record["keypoints"] for record in records], dtype=torch.float32)
        keypoints = keypoints.reshape(-1, len(joints), 3)
        if joints == COCO_JOINTS:
            keypoints = PersonKeypoints(keypoints, image.size)
        else:
            if joints == DETAIL_JOINTS:
                keypoints[..., 2] = SWAPPED_VISIBILITY[keypoints[..., 2].long().clamp(0, 2)]
            keypoints = Keypoints(keypoints, image.size, joints=joints)
        persons.add_field("keypoints", keypoints)
        return image.kept(persons)

    def has(self, image: COCOImage) -> bool:
        return image.has_objects and image.dataset.file.joints is not None


class Keypoint(Task):
    """Keypoints of persons. The label is a `BoxList` of its own, since joint records are not linked to objects."""

    key = "keypoint"
    title = "human keypoints"
    switch = "KEYPOINT_ON"
    comment = "Task: human keypoints, per detected box"
    losses = ("loss_kp",)
    headline = "AP"
    parameter_prefixes = ("roi_heads.keypoint.",)
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.FEATURE_EXTRACTOR",
                "KeypointRCNNFeatureExtractor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.PREDICTOR",
                "KeypointRCNNPredictor",
                NAME,
                "A name in modeling.registry.ROI_KEYPOINT_PREDICTOR",
            ),
            region_pooling("ROI_KEYPOINT_HEAD"),
            Option("MODEL.ROI_KEYPOINT_HEAD.MLP_HEAD_DIM", 1024, CHANNELS, "Not read; kept for the original's files"),
            Option("MODEL.ROI_KEYPOINT_HEAD.CONV_LAYERS", (512,) * 8, WIDTHS, "Channels of each convolution"),
            Option("MODEL.ROI_KEYPOINT_HEAD.RESOLUTION", 14, Integer(1, 512), "Side of the predicted heat map"),
            Option("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", 17, CLASSES, "Joints. Taken from the data set unless set"),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.SHARE_BOX_FEATURE_EXTRACTOR",
                True,
                FLAG,
                "Joints are read from the box head's features of the regions instead of features of their own",
            ),
            Option(
                "MODEL.ROI_KEYPOINT_HEAD.MAX_ROIS_PER_IMAGE",
                0,
                Integer(0, 2**16),
                "Regions trained per image at most; 0 trains every positive region, as the original does",
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        count = len(vocabulary.joints.names) if vocabulary.joints else 0
        return [ClassCount("MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES", count, "keypoints")]

    def region_options(self, cfg: CfgNode) -> CfgNode:
        return cfg.MODEL.ROI_KEYPOINT_HEAD

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_KEYPOINT_HEAD.NUM_CLASSES": Integer(1, 256)}

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = None  # persons are a `BoxList` of their own
    label_readers = {"detail": DetailKeypointReader, "coco": COCOKeypointReader}

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


KEYPOINT = register_task(Keypoint())
