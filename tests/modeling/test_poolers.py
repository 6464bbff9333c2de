"""Which level a box is read from, and what is read there."""

import torch
from torchvision.ops import roi_align

from maskrcnn_benchmark.config import cfg
from maskrcnn_benchmark.modeling.poolers import LevelMapper, Pooler, convert_to_roi_format, make_pooler
from maskrcnn_benchmark.structures.bounding_box import BoxList

SCALES = (1 / 4, 1 / 8, 1 / 16, 1 / 32)


def square(side):
    return [0.0, 0.0, side - 1.0, side - 1.0]


def features(channels=3, size=256):
    torch.manual_seed(0)
    return [torch.randn(2, channels, int(size * s), int(size * s)) for s in (*SCALES, 1 / 64)]


def test_level_follows_the_side_of_the_box():
    boxes = BoxList([square(s) for s in (8, 111, 112, 223, 224, 447, 448, 5000)], (6000, 6000))
    assert LevelMapper(2, 5)([boxes]).tolist() == [0, 0, 1, 1, 2, 2, 3, 3]


def test_each_box_is_read_from_its_level():
    x = features()
    boxes = [BoxList([square(40), square(240), square(120)], (256, 256)), BoxList([square(130)], (256, 256))]
    pooled = Pooler((7, 7), SCALES, 2)(x, boxes)
    assert pooled.shape == (4, 3, 7, 7)
    rois = convert_to_roi_format(boxes)
    for row, level in enumerate((0, 2, 1, 1)):
        expected = roi_align(x[level], rois[row : row + 1], (7, 7), SCALES[level], 2, aligned=False)
        assert torch.allclose(pooled[row : row + 1], expected)


def test_one_scale_reads_the_first_map():
    x = features()
    boxes = [BoxList([square(40)], (256, 256)), BoxList([square(240)], (256, 256))]
    expected = roi_align(x[0], convert_to_roi_format(boxes), (3, 3), 1 / 4, 0, aligned=False)
    assert torch.allclose(Pooler((3, 3), SCALES[:1], 0)(x, boxes), expected)


def test_no_boxes_give_no_features():
    x = [f.requires_grad_() for f in features()]
    empty = BoxList(torch.zeros(0, 4), (256, 256))
    pooled = Pooler((7, 7), SCALES, 2)(x, [empty, empty])
    assert pooled.shape == (0, 3, 7, 7)
    pooled.sum().backward()


def test_gradient_reaches_every_level_that_is_read():
    x = [f.requires_grad_() for f in features()]
    boxes = [BoxList([square(40), square(240)], (256, 256)), BoxList([square(40)], (256, 256))]
    Pooler((7, 7), SCALES, 2)(x, boxes).sum().backward()
    assert [f.grad is not None and bool(f.grad.abs().sum() > 0) for f in x] == [True, False, True, False, False]


def test_rois_name_their_image():
    boxes = [BoxList([square(5), square(6)], (9, 9)), BoxList(torch.zeros(0, 4), (9, 9)), BoxList([square(7)], (9, 9))]
    assert convert_to_roi_format(boxes)[:, [0, 3]].tolist() == [[0, 4], [0, 5], [2, 6]]


def test_pooler_of_a_config():
    pooler = make_pooler(cfg, "ROI_BOX_HEAD")
    assert (pooler.output_size, pooler.scales, pooler.sampling_ratio) == ((14, 14), (1 / 16,), 0)
