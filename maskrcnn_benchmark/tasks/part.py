"""Part segmentation: a part label for every pixel of the objects that have parts."""

from yacs.config import CfgNode

from maskrcnn_benchmark.data.dataset import LabelReader
from maskrcnn_benchmark.data.detail.image import DetailImage
from maskrcnn_benchmark.structures.image_annotations import ImageAnnotations
from maskrcnn_benchmark.structures.part_mask import PartMask
from maskrcnn_benchmark.tasks.task import Task, register_task


class DetailPartReader(LabelReader):
    """Part labels of PASCAL in Detail's objects."""

    needs = ("instance",)  # an object whose parts nobody drew is told from the background by its mask

    def read(self, image: DetailImage) -> PartMask | None:
        return image.parts

    def has(self, image: DetailImage) -> bool:
        return image.has_parts


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

    # Options ----------------------------------------------------------------------------------------------------------

    def requirements(self, cfg: CfgNode) -> tuple[str, ...]:
        """Parts per region are predicted for detected boxes."""
        return ("detection",) if cfg.MODEL.PART_HEAD == "roi" else ()

    # Labels -----------------------------------------------------------------------------------------------------------

    label_field = "parts"
    label_readers = {"detail": DetailPartReader}

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
