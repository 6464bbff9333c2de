"""The data sets, each an indexable of (image, `ImageAnnotations`, index)."""

from maskrcnn_benchmark.data.cityscapes import CityScapesDataset
from maskrcnn_benchmark.data.coco_panoptic import COCOPanopticDataset
from maskrcnn_benchmark.data.datasets.coco import COCODataset
from maskrcnn_benchmark.data.datasets.concat_dataset import ConcatDataset
from maskrcnn_benchmark.data.datasets.voc import PascalVOCDataset
from maskrcnn_benchmark.data.detail.dataset import DetailDataset
from maskrcnn_benchmark.data.mapped_dataset import MappedDataset
from maskrcnn_benchmark.data.nyud_mtl import NYUDMTLDataset
from maskrcnn_benchmark.data.pascal_context_mtl import PascalContextMTLDataset

__all__ = [
    "COCODataset",
    "COCOPanopticDataset",
    "CityScapesDataset",
    "ConcatDataset",
    "DetailDataset",
    "MappedDataset",
    "NYUDMTLDataset",
    "PascalContextMTLDataset",
    "PascalVOCDataset",
]
