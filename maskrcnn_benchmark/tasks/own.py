"""The tasks of this package. The order of the imports is that of tables, logs and pictures."""

# isort: off
# ruff: noqa: F401
import maskrcnn_benchmark.tasks.detection as detection
import maskrcnn_benchmark.tasks.instance as instance
import maskrcnn_benchmark.tasks.keypoint as keypoint
import maskrcnn_benchmark.tasks.part as part
import maskrcnn_benchmark.tasks.semantic as semantic
import maskrcnn_benchmark.tasks.boundary as boundary
import maskrcnn_benchmark.tasks.occlusion as occlusion
import maskrcnn_benchmark.tasks.classification as classification
