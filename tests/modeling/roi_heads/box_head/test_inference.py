import torch

from maskrcnn_benchmark.modeling.box_coder import BoxCoder
from maskrcnn_benchmark.modeling.roi_heads.box_head.inference import PostProcessor
from maskrcnn_benchmark.structures.bounding_box import BoxList
from maskrcnn_benchmark.structures.boxlist_ops import boxlist_nms

CODER = BoxCoder((10.0, 10.0, 5.0, 5.0))
SIZE = (100, 80)


def random_input(images=2, rois=30, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    proposals = []
    for _ in range(images):
        corner = torch.rand(rois, 2, generator=generator) * 60
        extent = 10 + torch.rand(rois, 2, generator=generator) * 30
        proposals.append(BoxList(torch.cat((corner, corner + extent), 1), SIZE).clip_to_image(remove_empty=False))
    logits = torch.randn(images * rois, classes, generator=generator)
    codes = torch.randn(images * rois, classes * 4, generator=generator)
    return (logits, codes), proposals


def class_by_class(x, proposals, score_thresh, nms, limit):
    """The definition: one image and one class after the other."""
    logits, codes = x
    count = len(proposals[0])
    result = []
    for i, boxes in enumerate(proposals):
        scores = logits[i * count : (i + 1) * count].softmax(1)
        decoded = CODER.decode(codes[i * count : (i + 1) * count], boxes.bbox)
        found = []
        for label in range(1, scores.shape[1]):
            chosen = torch.nonzero(scores[:, label] > score_thresh).squeeze(1)
            candidates = BoxList(decoded[chosen, 4 * label : 4 * label + 4], SIZE).clip_to_image(remove_empty=False)
            candidates.add_field("scores", scores[chosen, label])
            candidates.add_field("index", chosen)
            kept = boxlist_nms(candidates, nms)
            kept = kept[kept.get_field("index").argsort()]
            found += [(label, *row) for row in torch.cat((kept.get_field("scores")[:, None], kept.bbox), 1).tolist()]
        if len(found) > limit:
            worst = sorted((row[1] for row in found), reverse=True)[limit - 1]
            found = [row for row in found if row[1] >= worst]
        result.append(torch.tensor(found))
    return result


def test_detections_equal_those_found_class_by_class():
    x, proposals = random_input()
    detections = PostProcessor(0.15, 0.4, 20, CODER)(x, proposals)
    for boxes, expected in zip(detections, class_by_class(x, proposals, 0.15, 0.4, 20)):
        assert len(boxes) == 20
        rows = torch.cat((boxes.get_field("labels")[:, None], boxes.get_field("scores")[:, None], boxes.bbox), 1)
        torch.testing.assert_close(rows, expected)


def test_ties_with_the_last_detection_are_kept():
    boxes = BoxList([[0.0, 0.0, 9.0, 9.0], [20.0, 0.0, 29.0, 9.0], [40.0, 0.0, 49.0, 9.0]], SIZE)
    logits = torch.tensor([[0.0, 2.0], [0.0, 1.0], [0.0, 1.0]])
    found = PostProcessor(0.05, 0.5, 2, CODER)((logits, torch.zeros(3, 8)), [boxes])[0]
    assert len(found) == 3


def test_boxes_are_clipped_to_their_own_image():
    boxes = [BoxList([[-5.0, -5.0, 200.0, 200.0]], size) for size in ((100, 80), (50, 60))]
    found = PostProcessor(0.05, 0.5, 2, CODER)((torch.tensor([[0.0, 9.0]] * 2), torch.zeros(2, 8)), boxes)
    assert found[0].bbox.tolist() == [[0, 0, 99, 79]]
    assert found[1].bbox.tolist() == [[0, 0, 49, 59]]


def test_class_agnostic_codes_serve_every_class():
    x, proposals = random_input()
    agnostic = (x[0], x[1][:, :8])
    per_class = (x[0], x[1][:, 4:8].repeat(1, 4))
    ours = PostProcessor(0.15, 0.4, 20, CODER, cls_agnostic_bbox_reg=True)(agnostic, proposals)
    theirs = PostProcessor(0.15, 0.4, 20, CODER)(per_class, proposals)
    for one, other in zip(ours, theirs):
        torch.testing.assert_close(one.bbox, other.bbox)


def test_nothing_above_the_threshold_is_an_empty_answer():
    x, proposals = random_input()
    for boxes in PostProcessor(0.999, 0.5, 100, CODER)(x, proposals):
        assert len(boxes) == 0 and boxes.get_field("labels").dtype == torch.int64
