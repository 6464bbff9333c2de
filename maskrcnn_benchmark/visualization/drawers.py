"""The table of drawing functions, one per task, keyed as `tasks.TASKS`."""

from maskrcnn_benchmark.visualization.image_drawers import (
    draw_boundary,
    draw_classification,
    draw_occlusion,
    draw_semantic,
)
from maskrcnn_benchmark.visualization.region_drawers import draw_detection, draw_instance, draw_keypoint, draw_part

# Each: (image uint8 [H, W, 3] RGB, ImageAnnotations or ImagePrediction of its size, Vocabulary, threshold from which an
# answer is shown as found, pixels of the picture per pixel of the image) -> uint8 [h, w, 3]; the last two have
# defaults. An added task's goes in here, too
DRAWERS = {
    "detection": draw_detection,
    "instance": draw_instance,
    "keypoint": draw_keypoint,
    "part": draw_part,
    "semantic": draw_semantic,
    "boundary": draw_boundary,
    "occlusion": draw_occlusion,
    "classification": draw_classification,
}
