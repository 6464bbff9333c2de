"""The data sets, each an indexable of (image, `ImageAnnotations`, index)."""

from maskrcnn_benchmark.data.datasets.cityscapes import CityScapesDataset
from maskrcnn_benchmark.data.datasets.coco import COCODataset
from maskrcnn_benchmark.data.datasets.concat_dataset import ConcatDataset
from maskrcnn_benchmark.data.datasets.detail import DetailDataset
from maskrcnn_benchmark.data.datasets.mapped_dataset import MappedDataset
from maskrcnn_benchmark.data.datasets.voc import PascalVOCDataset

__all__ = ["COCODataset", "CityScapesDataset", "ConcatDataset", "DetailDataset", "MappedDataset", "PascalVOCDataset"]
