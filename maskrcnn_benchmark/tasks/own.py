"""The tasks of this package, each in the file of its key. Their order is that of tables, logs and pictures."""

# isort: off
# ruff: noqa: F401
from maskrcnn_benchmark.tasks import detection
from maskrcnn_benchmark.tasks import instance
from maskrcnn_benchmark.tasks import keypoint
from maskrcnn_benchmark.tasks import part
from maskrcnn_benchmark.tasks import semantic
from maskrcnn_benchmark.tasks import boundary
from maskrcnn_benchmark.tasks import occlusion
from maskrcnn_benchmark.tasks import classification
from maskrcnn_benchmark.tasks import saliency
from maskrcnn_benchmark.tasks import normals
from maskrcnn_benchmark.tasks import depth
from maskrcnn_benchmark.tasks import panoptic
from maskrcnn_benchmark.tasks import part_panoptic
from maskrcnn_benchmark.tasks import occlusion_order
