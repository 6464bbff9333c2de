"""Part segmentation: a part label for every pixel of the objects that have parts."""

from yacs.config import CfgNode

from maskrcnn_benchmark.config.defaults import CLASSES_AND_BACKGROUND, NAME, REGION_HEADS, WIDTHS, region_pooling
from maskrcnn_benchmark.config.options import ClassCount, Option, section
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.vocabulary import Vocabulary
from maskrcnn_benchmark.tasks.task import Task, register_task
from maskrcnn_benchmark.utils.ranges import Choice, Integer, Range


class Part(Task):
    """Parts, predicted per region or, with MODEL.PART_HEAD "fpn", once per image."""

    key = "part"
    title = "part segmentation"
    switch = "PART_ON"
    comment = "Task: parts, per detected box or once per image (MODEL.PART_HEAD)"
    losses = ("loss_part",)
    headline = "mIoU"
    parameter_prefixes = ("roi_heads.part.", "fpn_heads.heads.part_map.")
    per = "region"
    requires = ("detection",)

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return self.requires if cfg.MODEL.PART_HEAD == "roi" else ()

    def chosen_by(self, cfg: CfgNode) -> str:
        return f'MODEL.PART_ON with MODEL.PART_HEAD "{cfg.MODEL.PART_HEAD}"'

    def options(self) -> list[Option]:
        return section(
            REGION_HEADS,
            Option(
                "MODEL.ROI_PART_HEAD.FEATURE_EXTRACTOR",
                "PartRCNNFeatureExtractor",
                NAME,
                "Part segmentation per region: a name in modeling.registry.ROI_PART_FEATURE_EXTRACTORS",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.PREDICTOR",
                "PartRCNNPredictor",
                NAME,
                "A name in modeling.registry.ROI_PART_PREDICTOR",
            ),
            region_pooling("ROI_PART_HEAD", sampling_ratio=2),
            Option("MODEL.ROI_PART_HEAD.CONV_LAYERS", (256, 256, 256, 256), WIDTHS, "Channels of each convolution"),
            Option(
                "MODEL.ROI_PART_HEAD.RESOLUTION",
                56,
                Integer(1, 512),
                "Side of the predicted part map: twice or four times POOLER_RESOLUTION",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.NUM_CLASSES",
                7,
                CLASSES_AND_BACKGROUND,
                "Part labels and background. Taken from the data set unless set",
            ),
            Option(
                "MODEL.ROI_PART_HEAD.MAX_ROIS_PER_IMAGE",
                16,
                Integer(0, 2**16),
                "Regions trained per image at most (Parsing R-CNN: 16); 0 trains every positive region with part "
                "labels",
            ),
            Option(
                "MODEL.PART_HEAD",
                "roi",
                Choice("roi", "fpn"),
                'Parts are predicted per region ("roi") or once for the whole image on the dense features ("fpn")',
            ),
        )

    def class_counts(self, vocabulary: Vocabulary) -> list[ClassCount]:
        parts = len(vocabulary.parts.labels) if vocabulary.parts else 0
        what = f"{parts} part labels and background" if parts else "parts"
        return [ClassCount("MODEL.ROI_PART_HEAD.NUM_CLASSES", parts and parts + 1, what)]

    def region_options(self, cfg: CfgNode) -> CfgNode | None:
        return cfg.MODEL.ROI_PART_HEAD if cfg.MODEL.PART_HEAD == "roi" else None

    def dense_features(self, cfg: CfgNode) -> set[str]:
        return {"dense"} if cfg.MODEL.PART_HEAD == "fpn" else set()

    def planes(self, cfg: CfgNode) -> int:
        return cfg.MODEL.ROI_PART_HEAD.NUM_CLASSES

    def bounds(self) -> dict[str, Range]:
        return {"MODEL.ROI_PART_HEAD.NUM_CLASSES": Integer(1, 255)}

    # Labels -----------------------------------------------------------------------------------------------------------

    def is_annotated(self, annotations: ImageAnnotations) -> bool:
        instances = annotations.instances
        has_field = instances is not None and instances.has_field("parts")
        return has_field and bool(instances.get_field("parts").annotated.any())

    # Network ----------------------------------------------------------------------------------------------------------

    # Evaluation -------------------------------------------------------------------------------------------------------

    # Files ------------------------------------------------------------------------------------------------------------

    # Pictures ---------------------------------------------------------------------------------------------------------

    # Export -----------------------------------------------------------------------------------------------------------


PART = register_task(Part())
