"""The tasks of this package. The order of the imports is that of tables, logs and pictures."""

# isort: off
import maskrcnn_benchmark.tasks.detection
import maskrcnn_benchmark.tasks.instance
import maskrcnn_benchmark.tasks.keypoint
import maskrcnn_benchmark.tasks.part
import maskrcnn_benchmark.tasks.semantic
import maskrcnn_benchmark.tasks.boundary
import maskrcnn_benchmark.tasks.occlusion
import maskrcnn_benchmark.tasks.classification  # noqa: F401
